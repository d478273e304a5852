/**
 * File systems of this Linux guest. Invariants: a disk that bears any signature is never formatted; when a call has
 * ended, no tool that it started still runs. Left to callers: one call at a time for each disk.
 */
import { open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf, Fault } from '../../common/fault.ts';
import { sectorBytes } from '../../common/sizes.ts';
import { type Fstype, fstypes, type RootAttributes } from '../../common/volume-options.ts';
import { isHeld } from '../../native/exclusive.ts';
import { readMountTable } from '../../native/mounts.ts';
import { AmbivalentSignatureError, probeSignature, type Signature } from '../../native/signature.ts';
import type { FileSystems, MountedAt, MountRequest } from '../ports/file-systems.ts';
import { ClonePreparation } from './clone-preparation.ts';
import { mkfsArguments, mkfsTool } from './mkfs.ts';
import { mountVolume } from './mounting.ts';
import { unmountPatiently } from './patient-unmount.ts';
import { PrivateMounts } from './private-mounts.ts';
import { adornRootFolder } from './root-folder.ts';
import { factsOf, superblockBytes } from './superblocks.ts';
import { Tools } from './tools.ts';

export interface KernelFileSystemsOptions {
  /** A folder of ours for mounts that only we use. */
  readonly scratchFolder: string;
  /** Where tools are looked for before the system's own folders: PATH when left out. */
  readonly searchPath?: string;
}

/**
 * mkfs.btrfs looks at the loop devices of all mounts before it writes anything, and fails when one of them, of whatever
 * other volume, goes away at that moment.
 */
const btrfsTries = 5;

export class KernelFileSystems implements FileSystems {
  readonly #tools: Tools;
  readonly #mounts: PrivateMounts;
  readonly #clones: ClonePreparation;
  #cleared: Promise<void> | undefined;

  constructor({ scratchFolder, searchPath = process.env['PATH'] ?? '' }: KernelFileSystemsOptions) {
    this.#tools = new Tools(searchPath);
    this.#mounts = new PrivateMounts(scratchFolder);
    this.#clones = new ClonePreparation(this.#tools, this.#mounts);
  }

  async makeable(): Promise<readonly Fstype[]> {
    const found = await Promise.all(fstypes.map((fstype) => this.#tools.find(mkfsTool(fstype))));
    return fstypes.filter((_, index) => found[index] !== undefined);
  }

  async signature(devicePath: string, signal: AbortSignal): Promise<string | undefined> {
    signal.throwIfAborted();
    await this.#clear();
    const found = (await probe(devicePath))?.type;
    return found === 'xfs' && (await isHalfMade(devicePath)) ? undefined : found;
  }

  async make(devicePath: string, fstype: Fstype, label: string, signal: AbortSignal): Promise<void> {
    // In the way of another attempt, though it is no file system: what a mkfs.xfs left that was ended half-way.
    if (fstype === 'xfs' && (await isHalfMade(devicePath))) await wipeHalfMade(devicePath);
    const purpose = `formatting ${devicePath} as ${fstype}`;
    const tries = fstype === 'btrfs' ? btrfsTries : 1;
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#tools.run(mkfsTool(fstype), mkfsArguments(fstype, label, devicePath), { purpose }, signal);
        return;
      } catch (error) {
        if (attempt === tries || (await probe(devicePath)) !== undefined) throw error;
      }
    }
  }

  async prepareClone(devicePath: string, fstype: Fstype, signal: AbortSignal): Promise<void> {
    await this.#clear();
    await this.#clones.prepare(devicePath, fstype, signal);
  }

  async mount(request: MountRequest): Promise<void> {
    await this.#clear();
    await mountVolume(request);
  }

  unmount(target: string): Promise<void> {
    return unmountPatiently(target);
  }

  /** What is mounted is another file system than the folder that it is mounted in. */
  async isMountPoint(path: string): Promise<boolean> {
    try {
      const [place, parent] = await Promise.all([stat(path), stat(dirname(path))]);
      return place.dev !== parent.dev;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return false;
      throw error;
    }
  }

  async isHeld(devicePath: string): Promise<boolean> {
    await this.#clear();
    return isHeld(devicePath);
  }

  adornRoot(target: string, root: RootAttributes): Promise<void> {
    return adornRootFolder(target, root);
  }

  async mountsBelow(folder: string): Promise<readonly MountedAt[]> {
    await this.#clear();
    const table = await readMountTable();
    return table
      .filter(({ target }) => target.startsWith(`${folder}/`))
      .map(({ target, source, fstype, isReadOnly }) => ({
        target,
        devicePath: source,
        fstype: fstypes.find((known) => known === fstype),
        isReadOnly,
      }));
  }

  /** Before the first look at any disk: what an earlier process left mounted by its death would be in the way. */
  #clear(): Promise<void> {
    this.#cleared ??= this.#mounts.releaseAll().catch((error: unknown) => {
      this.#cleared = undefined;
      throw error;
    });
    return this.#cleared;
  }
}

async function probe(devicePath: string): Promise<Signature | undefined> {
  try {
    return await probeSignature(devicePath);
  } catch (error) {
    if (!(error instanceof AmbivalentSignatureError)) throw error;
    throw new Fault('UnexpectedSignature', error.message, { cause: error });
  }
}

/** What a killed mkfs.xfs leaves: a signature, and no file system. Nobody ever had data in it. */
async function isHalfMade(devicePath: string): Promise<boolean> {
  await using disk = await open(devicePath, 'r');
  const start = Buffer.alloc(superblockBytes);
  await disk.read(start, 0, superblockBytes, 0);
  return factsOf('xfs', start)?.isHalfMade ?? false;
}

/** mkfs refuses a disk with a signature, as it should. */
async function wipeHalfMade(devicePath: string): Promise<void> {
  await using disk = await open(devicePath, 'r+');
  await disk.write(Buffer.alloc(sectorBytes), 0, sectorBytes, 0);
  await disk.sync();
}
