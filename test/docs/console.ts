/**
 * Blocks of the language `console`: what is typed after a prompt (`#` as root, `$` as a user), and below it, where the
 * block shows it, what is then seen. A line that ends in `\` goes on in the next. `…` stands for any text in its line, and
 * alone in a line for any number of lines. A command whose output begins with "Error" (in any letters) is one that fails.
 */
import type { Block } from './documents.ts';

export interface Step {
  readonly command: string;
  /** Undefined when the block shows nothing. */
  readonly output: string | undefined;
  readonly place: string;
}

const promptPattern = /^[#$] (?<command>.+)$/;

/** @throws Error when a block begins without a prompt */
export function stepsOf({ file, line, lines }: Block): readonly Step[] {
  const steps: { command: string; output: string[]; place: string }[] = [];
  let isContinued = false;
  for (const [index, text] of lines.entries()) {
    const last = steps.at(-1);
    const { command } = promptPattern.exec(text)?.groups ?? {};
    if (isContinued && last) last.command += `\n${text}`;
    else if (command !== undefined) steps.push({ command, output: [], place: `${file}:${line + index}` });
    else if (last) last.output.push(text);
    else throw new Error(`${file}:${line + index}: there is no prompt before ${JSON.stringify(text)}`);
    isContinued = text.endsWith('\\') && (isContinued || command !== undefined);
  }
  return steps.map(({ command, output, place }) => ({ command, place, output: textOf(output) }));
}

function textOf(output: readonly string[]): string | undefined {
  const text = output.join('\n').trim();
  return text === '' ? undefined : text;
}

export function isShownToFail({ output = '' }: Step): boolean {
  return /^error/i.test(output);
}

export function isAsShown(shown: string, seen: string): boolean {
  const anyLines = String.raw`(?:[^\n]*(?:\n|$))*?`;
  const lines = shown.split('\n').map((line, index, all) => {
    if (line.trim() === '…') return anyLines;
    const text = line
      .trimEnd()
      .split('…')
      .map(escaped)
      .join(String.raw`[^\n]*`);
    return index === all.length - 1 ? text : String.raw`${text}[^\S\n]*\n`;
  });
  return new RegExp(`^${lines.join('')}\\s*$`).test(`${seen.trim()}\n`);
}

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
}
