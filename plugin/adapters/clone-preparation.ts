/**
 * Makes the file system of a copied disk one that has a UUID of its own, so that it can be mounted beside its source,
 * and lets it fill a disk that is larger. Invariants: what only a log holds is replayed before a tool writes; each step
 * may be cut short by a crash and the whole repeated, which may give yet another UUID; we write ourselves only to what
 * nobody has mounted; at the end nothing is mounted.
 */
import { randomUUID } from 'node:crypto';
import { open, readFile, realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import { Fault } from '../../common/fault.ts';
import { sectorBytes } from '../../common/sizes.ts';
import { type Fstype, smallestResizedBtrfsBytes } from '../../common/volume-options.ts';
import { probeSignature } from '../../native/signature.ts';
import { btrfsBlockBytes, btrfsBlockOffsets, withNewUuid } from './btrfs-identity.ts';
import type { PrivateMounts } from './private-mounts.ts';
import { openAlone } from './sole-use.ts';
import { factsOf, superblockBytes, type SuperblockFacts } from './superblocks.ts';
import type { Tools } from './tools.ts';
import { planXfsRenewal } from './xfs-renewal.ts';

/** e2fsck's: nothing to mend; all mended; all mended, and a mounted root would need a restart. */
const mended = [0, 1, 2, 3];
/** e2fsck's: wants to be asked; could not even begin. */
const leftUnmended = [4, 5, 6, 7, 8];

interface Clone {
  readonly devicePath: string;
  readonly facts: SuperblockFacts;
  readonly isLargerDisk: boolean;
  readonly purpose: string;
}

export class ClonePreparation {
  readonly #tools: Tools;
  readonly #mounts: PrivateMounts;

  constructor(tools: Tools, mounts: PrivateMounts) {
    this.#tools = tools;
    this.#mounts = mounts;
  }

  /** @throws Fault DamagedVolume, UnexpectedSignature, or NotSupported when a tool is not installed */
  async prepare(devicePath: string, fstype: Fstype, signal: AbortSignal): Promise<void> {
    await this.#mounts.release(devicePath);
    await checkType(devicePath, fstype);
    const facts = await readFacts(devicePath, fstype);
    const isLargerDisk = (await sizeOf(devicePath)) > facts.sizeBytes;
    const clone = { devicePath, facts, isLargerDisk, purpose: `preparing the clone on ${devicePath}` };
    if (fstype === 'xfs') await this.#prepareXfs(clone, signal);
    else if (fstype === 'btrfs') await this.#prepareBtrfs(clone, signal);
    else await this.#prepareExt(clone, signal);
  }

  async #prepareExt({ devicePath, facts, isLargerDisk, purpose }: Clone, signal: AbortSignal): Promise<void> {
    const run = (tool: string, args: readonly string[], successCodes = [0]): Promise<number> =>
      this.#tools.run(tool, [...args, devicePath], { purpose, successCodes }, signal);
    const code = await run('e2fsck', [isLargerDisk ? '-fp' : '-p'], [...mended, ...leftUnmended]);
    // What tune2fs or resize2fs left half-written when they were killed is beyond what is mended without asking.
    if (!mended.includes(code)) await run('e2fsck', ['-fy'], mended);
    // With a seed of its own the checksums stay true, and only the superblock changes.
    await run('tune2fs', [...(facts.hasUuidInChecksums ? ['-O', 'metadata_csum_seed'] : []), '-U', 'random']);
    if (isLargerDisk) await run('resize2fs', []);
  }

  async #prepareXfs({ devicePath, isLargerDisk, purpose }: Clone, signal: AbortSignal): Promise<void> {
    // Replays the log, and leaves its end as an unmount does. Up to here the UUID may be that of a mounted source.
    await this.#mounts.use({ devicePath, fstype: 'xfs', data: 'nouuid' }, () => Promise.resolve());
    await renewXfsUuid(devicePath, signal);
    if (!isLargerDisk) return;
    await this.#mounts.use({ devicePath, fstype: 'xfs' }, (target) =>
      this.#tools.run('xfs_growfs', ['-d', target], { purpose }, signal),
    );
  }

  async #prepareBtrfs({ devicePath, facts, isLargerDisk, purpose }: Clone, signal: AbortSignal): Promise<void> {
    // Before any mount: older kernels take a second disk of the same UUID for the first.
    await renewBtrfsUuid(devicePath, facts.sizeBytes, signal);
    if (!isLargerDisk || (await sizeOf(devicePath)) < smallestResizedBtrfsBytes) return;
    await this.#mounts.use({ devicePath, fstype: 'btrfs' }, (target) =>
      this.#tools.run('btrfs', ['filesystem', 'resize', 'max', target], { purpose }, signal),
    );
  }
}

async function renewXfsUuid(devicePath: string, signal: AbortSignal): Promise<void> {
  await using disk = await openAlone(devicePath, signal);
  for (const stage of await planXfsRenewal(disk, newUuid())) {
    for (const { offset, bytes } of stage) await disk.write(bytes, 0, bytes.length, offset);
    await disk.sync();
  }
}

async function renewBtrfsUuid(devicePath: string, sizeBytes: number, signal: AbortSignal): Promise<void> {
  const uuid = newUuid();
  await using disk = await openAlone(devicePath, signal);
  for (const offset of btrfsBlockOffsets.filter((start) => start + btrfsBlockBytes <= sizeBytes)) {
    const block = Buffer.alloc(btrfsBlockBytes);
    await disk.read(block, 0, btrfsBlockBytes, offset);
    await disk.write(withNewUuid(block, uuid), 0, btrfsBlockBytes, offset);
    await disk.sync();
  }
}

function newUuid(): Buffer {
  return Buffer.from(randomUUID().replaceAll('-', ''), 'hex');
}

async function checkType(devicePath: string, fstype: Fstype): Promise<void> {
  const signature = await probeSignature(devicePath);
  if (signature?.type === fstype) return;
  const found = signature === undefined ? 'no known signature' : `the signature ${signature.type}`;
  throw new Fault('UnexpectedSignature', `${devicePath} should hold a clone's ${fstype}, but bears ${found}`);
}

async function readFacts(devicePath: string, fstype: Fstype): Promise<SuperblockFacts> {
  await using disk = await open(devicePath, 'r');
  const start = Buffer.alloc(superblockBytes);
  await disk.read(start, 0, superblockBytes, 0);
  const facts = factsOf(fstype, start);
  if (facts) return facts;
  throw new Fault('DamagedVolume', `the ${fstype} on ${devicePath} has no readable superblock; clone it again`);
}

async function sizeOf(devicePath: string): Promise<number> {
  const name = basename(await realpath(devicePath));
  return Number(await readFile(`/sys/class/block/${name}/size`, 'utf8')) * sectorBytes;
}
