/**
 * The folder in which the plugin keeps what it must find again. Invariant: as long as it is held, no other plugin has it,
 * of whichever version, in whichever container; the kernel lets it go with the process that holds it.
 */
import { mkdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf, Fault, messageOf } from '../../common/fault.ts';
import { type LockAttempt, tryLock } from '../../native/file-lock.ts';

const lockName = 'lock';
const folderMode = 0o700;

/**
 * Makes it when it is missing.
 * @throws Fault Busy when another plugin has it, NoSpace on a full disk, InvalidRequest when it cannot be used at all
 */
export async function holdStateFolder(path: string): Promise<Disposable> {
  const { lock, holder } = await attempt(path);
  if (lock) return lock;
  const advice = 'stop that one first, or give this one a stateDir and a socket of its own';
  throw new Fault('Busy', `the state directory ${path} is in use by another plugin, ${holder}; ${advice}`);
}

async function attempt(path: string): Promise<LockAttempt> {
  try {
    await makeFolders(path);
    return await tryLock(join(path, lockName));
  } catch (error) {
    throw stateFolderFault(error, path);
  }
}

/** One by one: of a read-only file system, Node's recursive mkdir says that the folder does not exist. */
async function makeFolders(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: folderMode });
  } catch (error) {
    if (errnoOf(error) === 'EEXIST' && (await stat(path)).isDirectory()) return;
    if (errnoOf(error) !== 'ENOENT' || path === dirname(path)) throw error;
    await makeFolders(dirname(path));
    await mkdir(path, { mode: folderMode });
  }
}

/** What a failure to write there means to the user. */
export function stateFolderFault(error: unknown, path: string): Fault {
  if (error instanceof Fault) return error;
  const isFull = errnoOf(error) === 'ENOSPC' || errnoOf(error) === 'EDQUOT';
  if (isFull) {
    const sentence = `the state directory ${path} is on a full disk: ${messageOf(error)}; make room there`;
    return new Fault('NoSpace', sentence, { cause: error });
  }
  const advice = 'make it a directory that root can write to, on a disk of this machine';
  const problem = `key stateDir has the value ${JSON.stringify(path)}: it cannot be used: ${messageOf(error)}`;
  return new Fault('InvalidRequest', `configuration: ${problem}; ${advice}`, { cause: error });
}
