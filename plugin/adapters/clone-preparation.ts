/**
 * Gives the file system of a copied disk a UUID of its own, since a kernel refuses, or worse mixes up, two of the same,
 * and lets it fill a disk that is larger than its source. Invariants: what only a log holds is replayed before a tool
 * writes; each step may be cut short by a crash and the whole repeated; at the end nothing is mounted.
 */
import { open, readFile, realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import { Fault } from '../../common/fault.ts';
import { sectorBytes } from '../../common/sizes.ts';
import type { Fstype } from '../../common/volume-options.ts';
import { probeSignature } from '../../native/signature.ts';
import { codeOf } from '../../native/system-error.ts';
import type { PrivateMounts } from './private-mounts.ts';
import { factsOf, superblockBytes, type SuperblockFacts } from './superblocks.ts';
import type { Tools } from './tools.ts';

/** e2fsck's: nothing to mend; all mended; all mended, and a mounted root would need a restart. */
const e2fsckSuccess = [0, 1, 2, 3];

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
    const before = await uuidOf(devicePath, fstype);
    const facts = await readFacts(devicePath, fstype);
    const isLargerDisk = (await sizeOf(devicePath)) > facts.sizeBytes;
    const clone = { devicePath, facts, isLargerDisk, purpose: `preparing the clone on ${devicePath}` };
    if (fstype === 'xfs') await this.#prepareXfs(clone, signal);
    else if (fstype === 'btrfs') await this.#prepareBtrfs(clone, signal);
    else await this.#prepareExt(clone, signal);
    // xfs_db ends with success also when it refused.
    if ((await uuidOf(devicePath, fstype)) === before) {
      throw new Fault(
        'DamagedVolume',
        `${clone.purpose}: its file system could not be given a UUID of its own; clone it again`,
      );
    }
  }

  async #prepareExt({ devicePath, facts, isLargerDisk, purpose }: Clone, signal: AbortSignal): Promise<void> {
    const run = (tool: string, args: readonly string[], successCodes = [0]): Promise<void> =>
      this.#tools.run(tool, [...args, devicePath], { purpose, successCodes }, signal);
    await run('e2fsck', [isLargerDisk ? '-fp' : '-p'], e2fsckSuccess);
    // With a seed of its own the checksums stay true, and only the superblock changes.
    await run('tune2fs', [...(facts.hasUuidInChecksums ? ['-O', 'metadata_csum_seed'] : []), '-U', 'random']);
    if (isLargerDisk) await run('resize2fs', []);
  }

  async #prepareXfs({ devicePath, isLargerDisk, purpose }: Clone, signal: AbortSignal): Promise<void> {
    await this.#mounts.use({ source: devicePath, fstype: 'xfs', data: 'nouuid' }, async (target) => {
      if (isLargerDisk) await this.#tools.run('xfs_growfs', ['-d', target], { purpose }, signal);
    });
    // What `xfs_admin -U generate` runs; that is a shell script, and a managed plugin has no shell.
    await this.#tools.run('xfs_db', ['-x', '-c', 'uuid generate', devicePath], { purpose }, signal);
  }

  async #prepareBtrfs({ devicePath, facts, isLargerDisk, purpose }: Clone, signal: AbortSignal): Promise<void> {
    if (facts.hasLog) await this.#replayBtrfsLog(devicePath, purpose);
    await this.#tools.run('btrfstune', ['-m', devicePath], { purpose }, signal);
    if (!isLargerDisk) return;
    await this.#mounts.use({ source: devicePath, fstype: 'btrfs' }, (target) =>
      this.#tools.run('btrfs', ['filesystem', 'resize', 'max', target], { purpose }, signal),
    );
  }

  /** btrfstune would leave a log that no kernel can replay. Only a mount can, beside its source since Linux 6.7. */
  async #replayBtrfsLog(devicePath: string, purpose: string): Promise<void> {
    try {
      await this.#mounts.use({ source: devicePath, fstype: 'btrfs' }, () => Promise.resolve());
    } catch (error) {
      if (codeOf(error) !== 'EEXIST' && codeOf(error) !== 'EBUSY') throw error;
      throw new Fault(
        'VolumeInUse',
        `${purpose}: its source was copied while in use and is mounted here, beside which this kernel cannot mount it; unmount the source first`,
        { cause: error },
      );
    }
  }
}

async function uuidOf(devicePath: string, fstype: Fstype): Promise<string> {
  const signature = await probeSignature(devicePath);
  if (signature?.type === fstype) return signature.uuid;
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
