/** The documents for users, and their fenced blocks, each with the place where it stands. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export const projectFolder = join(import.meta.dirname, '../..');

export interface Block {
  /** `docs/qemu.md`. */
  readonly file: string;
  /** Of its first line, from 1. */
  readonly line: number;
  /** The word after the fence; empty when there is none. */
  readonly language: string;
  readonly lines: readonly string[];
}

/** A block in a list is indented, as its fence is. */
const fencePattern = /^(?<indent> *)```(?<language>\S*)(?<more>.*)$/;

/** README first. */
export async function documentFiles(): Promise<readonly string[]> {
  const names = (await readdir(join(projectFolder, 'docs'))).filter((name) => name.endsWith('.md'));
  return ['README.md', ...names.sort().map((name) => `docs/${name}`)];
}

export function readDocument(file: string): Promise<string> {
  return readFile(join(projectFolder, file), 'utf8');
}

/** @throws Error when a block is not closed */
export function blocksOf(file: string, text: string): readonly Block[] {
  const blocks: Block[] = [];
  let open: { readonly indent: string; readonly line: number; readonly language: string; lines: string[] } | undefined;
  for (const [index, line] of text.split('\n').entries()) {
    const { indent = '', language = '' } = fencePattern.exec(line)?.groups ?? {};
    const isFence = fencePattern.test(line);
    if (!open) {
      if (isFence) open = { indent, line: index + 2, language, lines: [] };
    } else if (isFence && language === '') {
      blocks.push({ file, line: open.line, language: open.language, lines: open.lines });
      open = undefined;
    } else {
      open.lines.push(line.startsWith(open.indent) ? line.slice(open.indent.length) : line.trimStart());
    }
  }
  if (open) throw new Error(`${file}:${open.line}: this block has no end`);
  return blocks;
}

/** The text without its blocks: what prose and tables say. */
export function proseOf(text: string): string {
  return text.replaceAll(/^ *```.*?^ *```$/gms, '');
}
