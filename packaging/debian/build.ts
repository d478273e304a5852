/**
 * Makes a Debian package. Invariant: the same commit, version and compression give the same bytes, on any machine with the
 * same dpkg.
 */
import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import process from 'node:process';
import { gzipSync } from 'node:zlib';
import { version as productVersion } from '../../common/version.ts';
import { pages } from '../../scripts/docs/pages.ts';
import { roffOf } from '../../scripts/docs/roff.ts';
import { mustRun } from '../../scripts/command.ts';
import type { Architecture } from '../payload/architectures.ts';
import { assemblePayload } from '../payload/payload.ts';
import { projectFolder, sourceDate } from '../payload/project.ts';
import { settleTree, sizeOfTree } from '../payload/tree.ts';
import { changelogFile, controlFile, copyrightFile, type Identity } from './control.ts';
import { debianPackages, type DebianPackage, type PackageName } from './packages.ts';

export interface DebianBuild {
  readonly name: PackageName;
  readonly architecture: Architecture;
  /** Where the package is put. */
  readonly folder: string;
  /** Another one than the product's. */
  readonly version?: string;
  /** Do not compress it, which takes most of the time. */
  readonly isLoose?: boolean;
}

const sources = join(projectFolder, 'packaging');
const scripts = ['postinst', 'prerm', 'postrm'];
const packMs = 600_000;

/** @returns the path of the package */
export async function buildDebianPackage(options: DebianBuild): Promise<string> {
  const { name, architecture, folder, version = productVersion, isLoose = false } = options;
  await mkdir(folder, { recursive: true });
  const work = await mkdtemp(join(folder, '.new-'));
  try {
    const tree = join(work, 'tree');
    await fillTree(tree, { name, architecture, version });
    const target = `${name}_${version}_${architecture}.deb`;
    // One thread: blocks that are compressed side by side are others.
    const packing = isLoose ? ['-Znone'] : ['-Zxz', '-z6', '--threads-max=1'];
    await mustRun(['dpkg-deb', '--root-owner-group', ...packing, '--build', tree, join(work, target)], {
      env: { ...process.env, SOURCE_DATE_EPOCH: String(await sourceDate()) },
      timeoutMs: packMs,
    });
    await rename(join(work, target), join(folder, target));
    return join(folder, target);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function fillTree(tree: string, identity: Identity): Promise<void> {
  const { name, architecture } = identity;
  const about: DebianPackage = debianPackages[name];
  const home = `usr/lib/${name}`;
  await assemblePayload({ architecture, folder: tree, home, programs: about.programs });
  // Both packages have it, so it is one of the system's alternatives.
  await rm(join(tree, 'usr/bin/vmdkops'));
  await put(tree, `usr/lib/systemd/system/${name}.service`, await source(`systemd/${name}.service`));
  await put(
    tree,
    `etc/docker-volume-vmdk/${about.configuration}`,
    await source(`configuration/${about.configuration}`),
  );
  if (about.programs.includes('vmdk-plugin')) {
    const tool = join(tree, home, 'bin/remove-dead-socket');
    await copyFile(join(sources, 'debian/remove-dead-socket'), tool);
    await chmod(tool, 0o755);
  }
  await addDocuments(tree, identity);
  const date = await sourceDate();
  await settleTree(tree, date);
  const installedKib = Math.ceil((await sizeOfTree(tree)) / 1024);
  await addControl(tree, identity, installedKib);
  await settleTree(tree, date);
}

async function addDocuments(tree: string, identity: Identity): Promise<void> {
  const documents = `usr/share/doc/${identity.name}`;
  const changelog = changelogFile(identity, await sourceDate());
  await put(tree, `${documents}/changelog.gz`, gzipSync(changelog, { level: 9 }));
  await put(tree, `${documents}/copyright`, copyrightFile(identity.name));
  await put(tree, `${documents}/packages.md`, await readFile(join(projectFolder, 'docs/packages.md')));
  await addManualPages(tree, identity);
  await put(tree, `usr/share/lintian/overrides/${identity.name}`, await source(`debian/${identity.name}.overrides`));
}

/** That of the program which both packages have lies beside it, and is one of the system's alternatives, too. */
async function addManualPages(tree: string, { name, version }: Identity): Promise<void> {
  const about: DebianPackage = debianPackages[name];
  for (const page of pages) {
    const file = `${page.name}.${page.section}.gz`;
    const isWanted = about.programs.some((program) => program === page.name) || name === page.name;
    if (!isWanted) continue;
    const folder = page.name === 'vmdkops' ? `usr/lib/${name}/man` : `usr/share/man/man${page.section}`;
    await put(tree, `${folder}/${file}`, gzipSync(roffOf(page, version), { level: 9 }));
  }
}

async function addControl(tree: string, identity: Identity, installedKib: number): Promise<void> {
  const about: DebianPackage = debianPackages[identity.name];
  const sums = await md5Sums(tree);
  await put(tree, 'DEBIAN/control', controlFile(identity, installedKib));
  await put(tree, 'DEBIAN/conffiles', `/etc/docker-volume-vmdk/${about.configuration}\n`);
  await put(tree, 'DEBIAN/md5sums', sums);
  const values = {
    UNIT: identity.name,
    HOME: `/usr/lib/${identity.name}`,
    PRIORITY: String(about.priority),
    STATE: about.state.join(' '),
    DATA: about.data.join(' '),
  };
  for (const script of scripts) {
    const text = await source(`debian/${script}`);
    const filled = Object.entries(values).reduce((now, [key, value]) => now.replaceAll(`@${key}@`, value), text);
    await put(tree, `DEBIAN/${script}`, filled);
    await chmod(join(tree, 'DEBIAN', script), 0o755);
  }
}

/** Of all that is installed but the configuration, which its owner changes. */
async function md5Sums(tree: string): Promise<string> {
  const entries = await readdir(tree, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const names = files.map((path) => relative(tree, path)).filter((name) => !name.startsWith('etc/'));
  const lines: string[] = [];
  for (const name of names.toSorted()) {
    const sum = createHash('md5').update(await readFile(join(tree, name)));
    lines.push(`${sum.digest('hex')}  ${name}\n`);
  }
  return lines.join('');
}

async function source(name: string): Promise<string> {
  return readFile(join(sources, name), 'utf8');
}

async function put(tree: string, name: string, contents: string | Buffer): Promise<void> {
  const path = join(tree, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, contents);
}
