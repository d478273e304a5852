/**
 * As whom a QEMU runs, and the disks made his: libvirt's QEMUs are no root, and open the disks themselves. Invariant: only
 * the owner of a disk's file changes, never who else may use it.
 */
import { chown, stat } from 'node:fs/promises';

export interface QemuUser {
  readonly uid: number;
  readonly gid: number;
}

/** Whose socket it is: QEMU makes it by itself. Undefined when it has gone. */
export async function userOf(qmpSocket: string): Promise<QemuUser | undefined> {
  return await stat(qmpSocket).catch(() => undefined);
}

/** @throws the system's error, as where the datastore is another machine's that forbids it */
export async function giveTo({ uid, gid }: QemuUser, path: string): Promise<void> {
  // Root may open it, whosever it is.
  if (uid === 0 || (await stat(path)).uid === uid) return;
  await chown(path, uid, gid);
}
