/**
 * One service for each folder. Invariant: the lock is the kernel's and ends with the process that holds it, however that
 * ends, and it holds between containers and network namespaces too. SQLite's lock on a database file is the one file
 * lock that Node can take; the database stays empty. SQLite keeps an empty journal beside it while the lock is held; what
 * a killed process leaves of it is made anew by the next.
 */
import { DatabaseSync } from 'node:sqlite';
import { Fault, messageOf } from '../../common/fault.ts';

const sqliteBusy = 5;

/** @throws Fault Busy when another service has the folder */
export function lockFolder(lockPath: string, what: string): Disposable {
  const database = new DatabaseSync(lockPath);
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (error instanceof Error && 'errcode' in error && error.errcode === sqliteBusy) {
      throw new Fault('Busy', `${what} is in use by another vmdkopsd or plugin on this machine; stop that one first`, {
        cause: error,
      });
    }
    throw new Fault('Internal', `${what} cannot be locked: ${messageOf(error)}`, { cause: error });
  }
  return {
    [Symbol.dispose]() {
      if (database.isOpen) database.close();
    },
  };
}
