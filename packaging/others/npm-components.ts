/**
 * The npm packages that a bundle was made of, and what came into the library's native halves and beside them. Invariant:
 * a package without a licence, or without its text, ends the build by its name: nothing is given on without the words
 * that its author asks for.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Component } from './component.ts';

const licenceFile = /^(?:licen[cs]e|copying|notice)(?:[.-].*)?$/i;

/** @param files as esbuild's `metafile.inputs` names them, relative to the project's folder */
export async function npmComponents(projectFolder: string, files: readonly string[]): Promise<readonly Component[]> {
  const folders = new Set(files.flatMap((file) => packageFolderOf(file) ?? []));
  return Promise.all(Array.from(folders, (folder) => npmComponent(join(projectFolder, folder))));
}

/** The folder of the innermost package that the file belongs to. */
function packageFolderOf(file: string): string | undefined {
  return /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(file)?.[0];
}

export async function npmComponent(folder: string): Promise<Component> {
  const { name, version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as {
    readonly name: string;
    readonly version: string;
    readonly license?: unknown;
  };
  const texts = await textsIn(folder);
  if (typeof license !== 'string')
    throw new Error(`the npm package ${name} does not name its licence in its "license"`);
  if (texts.length === 0) throw new Error(`the npm package ${name} (${license}) has no file with its licence's text`);
  return { name, version, licence: license, texts, purl: `pkg:npm/${name.replace('@', '%40')}@${version}` };
}

async function textsIn(folder: string): Promise<readonly string[]> {
  const names = (await readdir(folder)).filter((name) => licenceFile.test(name)).toSorted();
  return Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')));
}
