/**
 * mount(2) and umount2(2), and the table of what is mounted.
 *
 * Invariant: a call that resolved has done all that was asked, and one that rejected has mounted nothing. Repeating a
 * busy unmount is the caller's decision.
 */
import { readFile } from 'node:fs/promises';
import { cString, libvmci } from './ffi.ts';
import { type MountEntry, parseMountinfo } from './mountinfo.ts';
import { checked } from './system-error.ts';

/** MS_* of mount(2). */
const flagBits = {
  ro: 1,
  nosuid: 2,
  nodev: 4,
  noexec: 8,
  sync: 16,
  remount: 32,
  mandlock: 64,
  dirsync: 128,
  nosymfollow: 256,
  noatime: 1024,
  nodiratime: 2048,
  bind: 4096,
  move: 8192,
  rec: 16384,
  silent: 32768,
  unbindable: 1 << 17,
  private: 1 << 18,
  slave: 1 << 19,
  shared: 1 << 20,
  relatime: 1 << 21,
  strictatime: 1 << 24,
  lazytime: 1 << 25,
} as const;
/** What a bind mount takes over from its source, whatever is asked, and only a remount changes. */
const bindIgnores: readonly MountFlag[] = [
  'ro',
  'nosuid',
  'nodev',
  'noexec',
  'nosymfollow',
  'noatime',
  'nodiratime',
  'relatime',
];
const detach = 2;
/** A symbolic link put in the target's place must not make us unmount something else. */
const noFollow = 8;

export type MountFlag = keyof typeof flagBits;

export interface MountRequest {
  /** The device, or the directory of a bind mount; empty where the file system has none. */
  readonly source: string;
  readonly target: string;
  /** Empty for bind, move, remount and changes of propagation. */
  readonly fstype: string;
  readonly flags?: readonly MountFlag[];
  /** Options of the file system itself, as "errors=remount-ro,data=ordered". */
  readonly data?: string;
}

const mountCall = libvmci.function('vmci_mount', 'pointer', 'pointer', 'pointer', 'uint64', 'pointer');
const unmountCall = libvmci.function('vmci_unmount', 'pointer', 'uint32');

export function isMountFlag(name: string): name is MountFlag {
  return Object.hasOwn(flagBits, name);
}

async function mountOnce(request: MountRequest, flags: readonly MountFlag[]): Promise<void> {
  const bits = flags.reduce((sum, flag) => sum | flagBits[flag], 0);
  const { source, target, fstype, data = '' } = request;
  const result = await mountCall.later(cString(source), cString(target), cString(fstype), bits, cString(data));
  checked(result, 'mount', source, target);
}

export async function mount(request: MountRequest): Promise<void> {
  const flags = request.flags ?? [];
  await mountOnce(request, flags);
  const ignored = flags.filter((flag) => bindIgnores.includes(flag));
  if (!flags.includes('bind') || flags.includes('remount') || ignored.length === 0) return;
  try {
    await mountOnce(request, ['remount', 'bind', ...ignored]);
  } catch (error) {
    await unmount(request.target);
    throw error;
  }
}

/** @param options.lazy takes it out of the tree at once and unmounts it when its last user has gone */
export async function unmount(target: string, options: { readonly lazy?: boolean } = {}): Promise<void> {
  const flags = noFollow | (options.lazy === true ? detach : 0);
  checked(await unmountCall.later(cString(target), flags), 'umount', target);
}

/** @param path another process's table: /proc/PID/mountinfo */
export async function readMountTable(path = '/proc/self/mountinfo'): Promise<readonly MountEntry[]> {
  return parseMountinfo(await readFile(path, 'utf8'));
}
