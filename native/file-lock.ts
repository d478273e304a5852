/**
 * A file that one process has for itself. Invariants: the lock is the kernel's and ends with its process, however that
 * ends; it holds between containers, and programs that the process starts have no part in it. What the file says of its
 * holder is for people only, and is read only while the lock is taken. The file is never removed: who waited for the
 * one that is gone would share nothing with who makes a new one.
 */
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { constants as system } from 'node:os';
import { cString, libvmci } from './ffi.ts';
import { checked } from './system-error.ts';

export type LockAttempt =
  | { readonly lock: Disposable; readonly holder?: undefined }
  /** Who has it, in words. */
  | { readonly lock?: undefined; readonly holder: string };

const lockCall = libvmci.function('vmci_lock', 'uint32');
const ownerCall = libvmci.function('vmci_socket_owner', 'pointer');
const fileMode = 0o600;
/** The same for all numbers, so that a shorter one leaves nothing of a longer one. */
const noteBytes = 12;

/** Makes the file when it is not there. Throws what opening or locking it fails with. */
export async function tryLock(path: string): Promise<LockAttempt> {
  const descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, fileMode);
  try {
    const result = await lockCall.later(descriptor);
    if (result === -system.errno.EAGAIN) {
      closeSync(descriptor);
      return { holder: await holderOf(path) };
    }
    checked(result, 'flock', path);
    note(descriptor);
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
  let isHeld = true;
  return {
    lock: {
      [Symbol.dispose]() {
        if (isHeld) closeSync(descriptor);
        isHeld = false;
      },
    },
  };
}

/** The process that listens on a Unix socket; undefined when it ended meanwhile, or cannot be seen from here. */
export async function socketOwner(path: string): Promise<number | undefined> {
  const result = await ownerCall.later(cString(path));
  return result > 0 ? result : undefined;
}

function note(descriptor: number): void {
  try {
    writeSync(descriptor, `${process.pid}\n`.padStart(noteBytes), 0);
  } catch {
    // On a full disk: the lock holds all the same.
  }
}

async function holderOf(path: string): Promise<string> {
  const noted = Number(await readFile(path, 'utf8').catch(() => ''));
  const seen = await lockersOf(path);
  const exact = seen.find(({ isSameDevice, pid }) => isSameDevice || pid === noted);
  if (exact) return `process ${exact.pid}`;
  if (Number.isSafeInteger(noted) && noted > 0)
    return `a process that cannot be seen from here, in another container or outside of this one, whose number there is ${noted}`;
  return 'another process';
}

interface Locker {
  readonly pid: number;
  /** Not so on file systems that show their files' device by another number, as btrfs does. */
  readonly isSameDevice: boolean;
}

/** From lines such as `3: FLOCK  ADVISORY  WRITE 4242 fe:01:131 0 EOF`. */
async function lockersOf(path: string): Promise<readonly Locker[]> {
  const [lines, { dev, ino }] = await Promise.all([readFile('/proc/locks', 'utf8'), stat(path)]);
  return lines.split('\n').flatMap((line) => {
    const found = /: FLOCK +ADVISORY +WRITE (\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) /.exec(line);
    if (!found || Number(found[4]) !== ino) return [];
    const [, pid, major = '', minor = ''] = found;
    return [{ pid: Number(pid), isSameDevice: deviceNumber(parseInt(major, 16), parseInt(minor, 16)) === dev }];
  });
}

/** As stat(2) tells it. */
function deviceNumber(major: number, minor: number): number {
  return (minor & 0xff) + major * 0x100 + (minor >> 8) * 0x10_0000;
}
