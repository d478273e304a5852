/**
 * One service for each folder. Invariant: the lock is the kernel's and ends with the process that holds it, however that
 * ends, and it holds between containers and network namespaces too. SQLite's lock on a database file is the one file
 * lock that Node can take; the database stays empty.
 */
import { DatabaseSync } from 'node:sqlite';
import { Fault, messageOf } from '../../common/fault.ts';

const sqliteBusy = 5;

/** @throws Fault Busy when another service has the folder */
export function lockFolder(lockPath: string, what: string): Disposable {
  const database = new DatabaseSync(lockPath);
  try {
    // The journal would be a second file, and nothing is ever written.
    database.exec('PRAGMA journal_mode = OFF; BEGIN EXCLUSIVE');
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
