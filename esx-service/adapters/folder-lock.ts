/**
 * One service for each folder. Invariant: the lock is the kernel's, and ends with the process that holds it, however that
 * ends; it holds between containers and network namespaces too.
 */
import { Fault, messageOf } from '../../common/fault.ts';
import { tryLock } from '../../native/file-lock.ts';

/** @throws Fault Busy when another service has the folder */
export async function lockFolder(lockPath: string, what: string): Promise<Disposable> {
  const { lock, holder } = await attempt(lockPath, what);
  if (lock) return lock;
  throw new Fault('Busy', `${what} is in use by another vmdkopsd or plugin, ${holder}; stop that one first`);
}

async function attempt(lockPath: string, what: string): ReturnType<typeof tryLock> {
  try {
    return await tryLock(lockPath);
  } catch (error) {
    throw new Fault('Internal', `${what} cannot be locked: ${messageOf(error)}`, { cause: error });
  }
}
