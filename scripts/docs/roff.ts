/**
 * A manual page as data, and as the text that `man` reads. Pure. Code in back quotes becomes bold. Invariant: no text is
 * taken for a request of the formatter, whatever it begins with.
 */
export interface Page {
  readonly name: string;
  readonly section: 7 | 8;
  readonly title: string;
  readonly parts: readonly Part[];
}

export interface Part {
  readonly heading: string;
  readonly blocks: readonly Block[];
}

export type Block =
  /** A paragraph. */
  | string
  /** What is explained, and how. */
  | { readonly terms: readonly (readonly [term: string, text: string])[] }
  /** As it stands. */
  | { readonly code: readonly string[] };

export function roffOf({ name, section, title, parts }: Page, version: string): string {
  const head = [
    `.TH ${name.toUpperCase().replaceAll('-', String.raw`\-`)} ${section} "" "docker\\-volume\\-vmdk ${version}"`,
    '.SH NAME',
    `${plain(name)} \\- ${inline(title)}`,
  ];
  const body = parts.flatMap(({ heading, blocks }) => [`.SH ${heading.toUpperCase()}`, ...blocks.flatMap(block)]);
  return [...head, ...body, ''].join('\n');
}

function block(one: Block, index: number): readonly string[] {
  if (typeof one === 'string') return [...(index > 0 ? ['.PP'] : []), guarded(inline(one))];
  if ('terms' in one) return one.terms.flatMap(([term, text]) => ['.TP', guarded(inline(term)), guarded(inline(text))]);
  return [...(index > 0 ? ['.PP'] : []), '.RS 4', '.nf', ...one.code.map((line) => guarded(plain(line))), '.fi', '.RE'];
}

function inline(text: string): string {
  return text
    .split('`')
    .map((piece, index) => (index % 2 === 1 && piece !== '' ? String.raw`\fB${plain(piece)}\fR` : plain(piece)))
    .join('');
}

function plain(text: string): string {
  return text
    .replaceAll('\\', String.raw`\e`)
    .replaceAll('-', String.raw`\-`)
    .replaceAll('…', '...');
}

/** A line that begins with one of these would be a request. */
function guarded(line: string): string {
  return /^[.']/.test(line) ? String.raw`\&${line}` : line;
}
