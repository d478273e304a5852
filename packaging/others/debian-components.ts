/** The packages of Debian that files were taken from. Invariant: each is told with its licences' whole texts. */
import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { packagesIn, type UnpackedPackage } from '../payload/debian-archive.ts';
import type { Component } from './component.ts';

/**
 * @param folder what the packages were unpacked in
 * @param taken paths below it
 */
export async function debianComponents(folder: string, taken: readonly string[]): Promise<readonly Component[]> {
  const wanted = new Set(taken.map((path) => relative(folder, path)));
  const used = (await packagesIn(folder)).filter(({ files }) => files.some((file) => wanted.has(file)));
  return Promise.all(used.map((found) => debianComponent(folder, found)));
}

async function debianComponent(folder: string, { name, version, architecture }: UnpackedPackage): Promise<Component> {
  const copyright = await readFile(join(folder, 'usr/share/doc', name, 'copyright'), 'utf8');
  const named = copyright.matchAll(/\/usr\/share\/common-licenses\/([\w.-]*\w)/g);
  const licences = [...new Set(Array.from(named, ([, licence = '']) => licence))].toSorted();
  const texts = licences.map((licence) => readFile(join(folder, 'usr/share/common-licenses', licence), 'utf8'));
  const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${architecture}`;
  return { name, version, licence: undefined, texts: [copyright, ...(await Promise.all(texts))], purl };
}
