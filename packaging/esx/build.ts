/**
 * Makes a VIB, the form of packages for ESXi. Its structure is checked; it was never run on hardware, and whether ESXi runs
 * Node, even with a C library of our own, is not known. Invariant: the same commit gives the same bytes.
 */
import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { version } from '../../common/version.ts';
import { mustRun } from '../../scripts/command.ts';
import { addSystemFiles } from '../managed-plugin/system-files.ts';
import { architectures } from '../payload/architectures.ts';
import { assemblePayload, writeNotices } from '../payload/payload.ts';
import { projectFolder, sourceDate } from '../payload/project.ts';
import { settleTree } from '../payload/tree.ts';
import { arArchive } from './archive.ts';
import { vibDescriptor, vibName } from './descriptor.ts';

export const esxHome = 'usr/lib/vmware/docker-volume-vmdk';
const payloadName = 'vmdkops';
const configuration = `{
  "hypervisor": "loop",
  "datastores": { "local": "/vmfs/volumes/datastore1" },
  "vms": [{ "name": "local", "socket": "/var/run/docker-volume-vmdk/local.sock" }]
}
`;
const tarMs = 120_000;

/** @returns the path of the VIB in this folder */
export async function buildVib(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const work = await mkdtemp(join(folder, '.new-'));
  try {
    const tree = join(work, 'tree');
    await fillTree(work, tree);
    const date = await sourceDate();
    await settleTree(tree, date);
    const tar = await tarOf(tree, date);
    const packed = gzipSync(tar, { level: 9 });
    const descriptor = vibDescriptor({
      version,
      date,
      files: await filesIn(tree),
      payload: { name: payloadName, sizeBytes: packed.length, sha256: hashed('sha256', packed) },
      unpacked: { sha256: hashed('sha256', tar), sha1: hashed('sha1', tar) },
    });
    const members = [
      { name: 'descriptor.xml', contents: Buffer.from(descriptor) },
      // Empty: nobody has signed it, which the acceptance level "community" allows.
      { name: 'sig.pkcs7', contents: Buffer.alloc(0) },
      { name: payloadName, contents: packed },
    ];
    const target = join(folder, `${vibName}-${version}.vib`);
    await writeFile(join(work, 'vib'), arArchive(members, date));
    await rename(join(work, 'vib'), target);
    return target;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function fillTree(work: string, tree: string): Promise<void> {
  const home = join(tree, esxHome);
  const programs = ['vmdkopsd', 'vmdkops'] as const;
  await assemblePayload({ architecture: 'amd64', folder: tree, home: esxHome, programs, withoutLaunchers: true });
  const system = join(work, 'system');
  const names = ['bin/node', 'build/libvmci.so', 'build/ffi_bindings.node', 'build/ref_bindings.node'];
  const binaries = names.map((name) => join(home, name));
  await writeNotices(home, await addSystemFiles('amd64', system, binaries, []));
  await rename(join(system, 'usr/lib', architectures.amd64.triplet), join(home, 'lib'));
  const sources = join(projectFolder, 'packaging/esx');
  for (const name of ['etc/init.d', 'etc/vmware/firewall', 'etc/docker-volume-vmdk']) {
    await mkdir(join(tree, name), { recursive: true });
  }
  await copyFile(join(sources, 'vmdkopsd'), join(tree, 'etc/init.d/vmdkopsd'));
  await chmod(join(tree, 'etc/init.d/vmdkopsd'), 0o755);
  await chmod(join(home, 'lib/ld-linux-x86-64.so.2'), 0o755);
  await copyFile(join(sources, 'firewall.xml'), join(tree, 'etc/vmware/firewall/docker-volume-vmdk.xml'));
  await writeFile(join(tree, 'etc/docker-volume-vmdk/esx-service.json'), configuration);
}

async function tarOf(tree: string, date: number): Promise<Buffer> {
  const path = join(tree, '../payload.tar');
  const owner = ['--owner=0', '--group=0', '--numeric-owner'];
  const tar = ['tar', '--create', '--format=ustar', '--sort=name', `--mtime=@${date}`, ...owner] as const;
  await mustRun([...tar, '--file', path, '--directory', tree, 'etc', 'usr'], { timeoutMs: tarMs });
  return readFile(path);
}

async function filesIn(tree: string): Promise<readonly string[]> {
  const entries = await readdir(tree, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  return files.map(({ parentPath, name }) => relative(tree, join(parentPath, name))).toSorted();
}

function hashed(kind: 'sha256' | 'sha1', bytes: Buffer): string {
  return createHash(kind).update(bytes).digest('hex');
}
