/**
 * Packages of Debian's archive, of any of its releases and architectures, unpacked and never installed. The archive is
 * where this machine's own apt looks; the lists are kept in a folder of ours, so nothing of the system's is changed.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { madeOnce } from '../../scripts/made-once.ts';
import { mustRun } from '../../scripts/command.ts';
import type { Architecture } from './architectures.ts';
import { partsFolder } from './project.ts';

const downloadMs = 600_000;

export interface Archive {
  readonly architecture: Architecture;
  /** `trixie` and the like; this system's when left out. */
  readonly release?: string;
  /** And the libraries that they depend on. */
  readonly withLibraries?: boolean;
}

export interface UnpackedPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  /** Their paths below the folder, and those of its folders. */
  readonly files: readonly string[];
}

const listOfPackages = 'packages.json';

/** What was unpacked in a folder that `unpackedPackages` gave. */
export async function packagesIn(folder: string): Promise<readonly UnpackedPackage[]> {
  return JSON.parse(await readFile(join(folder, listOfPackages), 'utf8')) as readonly UnpackedPackage[];
}

/** The folder that these packages were unpacked in, one over the other; without what they depend on. */
export async function unpackedPackages(archive: Archive, name: string, packages: readonly string[]): Promise<string> {
  const ownRelease = await releaseOfSystem();
  const release = archive.release ?? ownRelease;
  const contents = `${release}-${packages.join('-')}`;
  return madeOnce(partsFolder, `${name}-${archive.architecture}`, contents, async (fresh) => {
    const state = await mkdtemp(join(fresh, '.apt-'));
    const apt = await aptOf(state, archive.architecture, ownRelease, release);
    await mustRun(['apt-get', ...apt, '-q', 'update'], { timeoutMs: downloadMs });
    const downloads = join(state, 'downloads');
    await mkdir(downloads);
    const names = archive.withLibraries ? await librariesOf(apt, packages) : packages;
    await mustRun(['env', '--chdir', downloads, 'apt-get', ...apt, '-q', 'download', ...names], {
      timeoutMs: downloadMs,
    });
    const unpacked: UnpackedPackage[] = [];
    for (const file of (await readdir(downloads)).toSorted()) unpacked.push(await unpack(join(downloads, file), fresh));
    await writeFile(join(fresh, listOfPackages), JSON.stringify(unpacked));
    await rm(state, { recursive: true });
  });
}

async function unpack(path: string, folder: string): Promise<UnpackedPackage> {
  const format = '--showformat=${Package} ${Version} ${Architecture}';
  const [name = '', version = '', architecture = ''] = (await mustRun(['dpkg-deb', '--show', format, path])).split(' ');
  const listing = await mustRun(['dpkg-deb', '--vextract', path, folder]);
  const files = listing.split('\n').map((line) => line.replace(/^\.\//, ''));
  return { name, version, architecture, files };
}

/** These, and every library that one of them depends on; the compiler's bring their licence in a package of its own. */
async function librariesOf(apt: readonly string[], packages: readonly string[]): Promise<readonly string[]> {
  const leftOut = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'].map(
    (kind) => `--no-${kind}`,
  );
  const text = await mustRun(['apt-cache', ...apt, 'depends', '--recurse', ...leftOut, ...packages]);
  const names = text.split('\n').filter((line) => /^[a-z0-9]/.test(line));
  const isLibrary = (name: string): boolean => /^z?lib|^gcc-\d+-base$/.test(name) && !/python|perl|debconf/.test(name);
  return [...new Set([...packages, ...names.filter(isLibrary)])].toSorted();
}

async function releaseOfSystem(): Promise<string> {
  const found = /^VERSION_CODENAME=(\w+)$/m.exec(await readFile('/etc/os-release', 'utf8'))?.[1];
  if (found === undefined) throw new Error('/etc/os-release does not tell the release of this system');
  return found;
}

/** @returns arguments that make apt use the state in this folder, and of the system's own no more than its keys */
async function aptOf(
  state: string,
  architecture: Architecture,
  ownRelease: string,
  release: string,
): Promise<readonly string[]> {
  const sources = join(state, 'sources');
  for (const folder of [sources, join(state, 'lists/partial'), join(state, 'cache/archives/partial')]) {
    await mkdir(folder, { recursive: true });
  }
  await writeFile(join(state, 'status'), '');
  for (const [index, file] of (await sourceFiles()).entries()) {
    // A word of its own: what others name after a release of Debian is theirs, and not there for each of them.
    const ofRelease = new RegExp(String.raw`(?<=\s)${ownRelease}(?=[-/\s])`, 'g');
    const text = await readFile(file, 'utf8');
    const changed = text.replace(ofRelease, release);
    if (ofRelease.test(text)) await writeFile(join(sources, `${index}-${basename(file)}`), changed);
  }
  const settings = {
    'APT::Architecture': architecture,
    'APT::Architectures': architecture,
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
    'Dir::Cache': join(state, 'cache'),
    'Dir::Etc::sourcelist': '/dev/null',
    'Dir::Etc::sourceparts': sources,
    'Dir::State': state,
    'Dir::State::status': join(state, 'status'),
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

async function sourceFiles(): Promise<readonly string[]> {
  const parts = await readdir('/etc/apt/sources.list.d').catch(() => []);
  const files = parts.filter((name) => /\.(?:list|sources)$/.test(name)).toSorted();
  const paths = ['/etc/apt/sources.list', ...files.map((name) => join('/etc/apt/sources.list.d', name))];
  return paths.filter((path) => existsSync(path));
}
