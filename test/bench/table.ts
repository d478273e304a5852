/** A table for a terminal. Pure. */
import type { Row } from './rows.ts';

const titles = ['measure', 'product p50 / p99', 'floor, peer or detail', 'ratio', 'target', ''] as const;

export function tableOf(rows: readonly Row[]): string {
  const lines = rows.map(({ measure, product, other, ratio, target, isMet }) => [
    measure,
    product,
    other,
    ratio,
    target,
    isMet === undefined ? '' : isMet ? 'met' : 'MISSED',
  ]);
  const all = [titles, ...lines];
  const widths = titles.map((_, column) => Math.max(...all.map((line) => line[column]?.length ?? 0)));
  const padded = all.map((line) =>
    widths
      .map((width, column) => (line[column] ?? '').padEnd(width))
      .join('  ')
      .trimEnd(),
  );
  const ruler = widths.map((width) => '-'.repeat(width)).join('  ');
  return [padded[0], ruler.trimEnd(), ...padded.slice(1)].join('\n');
}
