/**
 * `npm run release:check`: whether this commit can be released. Clones it twice into new folders, builds every artifact
 * in each by the one command that the documents name, and leaves the release in `build/release/VERSION`: the artifacts
 * with their checksums, the components of others as CycloneDX, and their licences. Invariant: nothing of the checkout but
 * what is committed goes into it; both clones gave the same bytes.
 */
import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { messageOf } from '../../common/fault.ts';
import { mustRun } from '../../scripts/command.ts';
import { addSystemFiles } from '../managed-plugin/system-files.ts';
import { type Component, noticesOf } from '../others/component.ts';
import { type Architecture, architectures } from '../payload/architectures.ts';
import { nativeParts } from '../payload/native-parts.ts';
import { nodeBinary } from '../payload/node-binary.ts';
import { payloadComponents } from '../payload/payload-components.ts';
import { projectFolder } from '../payload/project.ts';
import { checksumsOf } from './checksums.ts';
import { sbomOf } from './sbom.ts';
import { problemsOfVersions } from './versions.ts';

const cloneMs = 60_000;
/** Of the set-up, which may install packages, and of all artifacts. */
const packageMs = 30 * 60_000;
const packMs = 300_000;

const allArchitectures = Object.keys(architectures) as readonly Architecture[];
const stopped = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => stopped.abort(new Error(`stopped by ${name}`)));
}
try {
  await main();
} catch (error) {
  console.error(`release:check: ${messageOf(stopped.signal.aborted ? stopped.signal.reason : error)}`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const { name, version, license } = JSON.parse(await committed('package.json')) as {
    readonly name: string;
    readonly version: string;
    readonly license: string;
  };
  const lock = JSON.parse(await committed('package-lock.json')) as { readonly version: string };
  const problems = problemsOfVersions({
    version,
    lockVersion: lock.version,
    changelog: await committed('CHANGELOG.md'),
  });
  if (problems.length > 0) throw new Error(problems.join('; '));
  const release = join(projectFolder, 'build/release', version);
  await rm(release, { recursive: true, force: true });
  await mkdir(release, { recursive: true });
  const sums = await built(release);
  if ((await builtAgain()) !== sums)
    throw new Error('the same commit, built in two folders, did not give the same bytes');
  const components = [...(await payloadComponents())];
  for (const architecture of allArchitectures) components.push(...(await systemComponents(architecture)));
  await writeFile(
    join(release, `${name}-${version}.cdx.json`),
    sbomOf({ name, version, licence: license }, components),
  );
  await writeFile(join(release, 'THIRD-PARTY-NOTICES'), noticesOf(components));
  const allSums = await checksumsOf(release);
  await writeFile(join(release, 'SHA256SUMS'), allSums);
  console.log(`${allSums}\nrelease ${version} is in build/release/${version}`);
}

/** All that packages with a system of their own take of Debian's. */
async function systemComponents(architecture: Architecture): Promise<readonly Component[]> {
  const folder = await mkdtemp(join(tmpdir(), 'release-system-'));
  try {
    const parts = await nativeParts(architecture);
    const binaries = ['libvmci.so', 'ffi_bindings.node', 'ref_bindings.node'].map((name) => join(parts, name));
    return await addSystemFiles(architecture, folder, [await nodeBinary(architecture), ...binaries]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function builtAgain(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'release-again-'));
  try {
    return await built(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function committed(path: string): Promise<string> {
  return mustRun(['git', '-C', projectFolder, 'show', `HEAD:${path}`]);
}

/**
 * Builds everything in a clone of its own.
 * @param release where the artifacts go: a file as it is, a folder as an archive
 * @returns their checksums
 */
async function built(release: string): Promise<string> {
  const { signal } = stopped;
  const folder = await mkdtemp(join(tmpdir(), 'release-check-'));
  try {
    await mustRun(['git', 'clone', '--quiet', projectFolder, folder], { timeoutMs: cloneMs, signal });
    const build = ['npm', '--prefix', folder, 'run', '--silent', 'package'] as const;
    await mustRun(build, { env: process.env, timeoutMs: packageMs, signal });
    await packAll(join(folder, 'build/packages'), release);
    return await checksumsOf(release);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function packAll(from: string, to: string): Promise<void> {
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const path = join(from, entry.name);
    if (entry.isFile()) await copyFile(path, join(to, entry.name));
    else await packFolder(path, join(to, `${entry.name}.tar.gz`));
  }
}

async function packFolder(folder: string, archive: string): Promise<void> {
  const sameEverywhere = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--format=gnu'];
  const command = ['tar', ...sameEverywhere, '--use-compress-program=gzip --no-name -9', '--create'] as const;
  await mustRun([...command, '--file', archive, '--directory', folder, '.'], { timeoutMs: packMs });
}
