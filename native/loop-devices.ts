/**
 * Loop devices: files as disks.
 *
 * Invariants: attaching takes turns inside this process, in order of arrival, since the kernel offers the same free
 * device to all who ask at once; detaching never takes a device from a file system that is mounted anywhere, and has
 * resolved only when the device is free again.
 */
import { readdir, readFile } from 'node:fs/promises';
import { deadline, pause } from '../common/deadline.ts';
import { inParallel } from '../common/in-parallel.ts';
import { cString, libvmci, textAt } from './ffi.ts';
import { checked, codeOf, systemError } from './system-error.ts';

export interface LoopRequest {
  readonly backingPath: string;
  readonly isReadOnly: boolean;
  readonly offsetBytes?: number;
  /** 0 or left out: to the end of the file. */
  readonly sizeLimitBytes?: number;
  /** At most 63 bytes, kept by the kernel with the device: it survives us. */
  readonly label?: string;
  readonly isDirectIo?: boolean;
}

export interface AttachedLoop {
  readonly path: string;
  readonly number: number;
  /** Unique on this machine until it restarts; the events of this attachment carry it. 0 before Linux 5.15. */
  readonly diskSequence: number;
}

export interface LoopDevice extends AttachedLoop {
  /** Undefined when the file was deleted meanwhile, or lies in another mount namespace. */
  readonly backingPath: string | undefined;
  readonly backingDevice: number;
  readonly backingInode: number;
  readonly offsetBytes: number;
  readonly sizeLimitBytes: number;
  readonly isReadOnly: boolean;
  /** The kernel frees it when its last user closes it. */
  readonly isAutoClear: boolean;
  readonly label: string;
}

const labelBytes = 63;
const requestBytes = 88;
const stateBytes = 112;
const sequenceBytes = 8;
const readOnlyFlag = 1;
const autoClearFlag = 4;
const deletedSuffix = ' (deleted)';
const lingerLimitMs = 10_000;
const lingerPauseMs = 5;

const attachCall = libvmci.function('vmci_loop_attach', 'pointer', 'pointer', 'pointer');
const clearCall = libvmci.function('vmci_loop_clear', 'pointer', 'pointer');
const statusCall = libvmci.function('vmci_loop_status', 'pointer', 'pointer');

function encode(request: LoopRequest): Buffer {
  const label = Buffer.from(request.label ?? '');
  if (label.length > labelBytes || label.includes(0)) {
    throw new RangeError(`A loop device's label is at most ${labelBytes} bytes without a NUL: ${request.label ?? ''}`);
  }
  const bytes = Buffer.alloc(requestBytes);
  bytes.writeBigUInt64LE(BigInt(request.offsetBytes ?? 0), 0);
  bytes.writeBigUInt64LE(BigInt(request.sizeLimitBytes ?? 0), 8);
  bytes.writeUInt32LE(Number(request.isReadOnly), 16);
  bytes.writeUInt32LE(Number(request.isDirectIo ?? false), 20);
  label.copy(bytes, 24);
  return bytes;
}

let lastTurn: Promise<unknown> = Promise.resolve();

function takeTurn<T>(work: () => Promise<T>): Promise<T> {
  const turn = lastTurn.then(work);
  lastTurn = turn.catch(() => undefined);
  return turn;
}

export async function attachLoop(request: LoopRequest): Promise<AttachedLoop> {
  const sequence = Buffer.alloc(sequenceBytes);
  const backing = cString(request.backingPath);
  const wanted = encode(request);
  const result = await takeTurn(() => attachCall.later(backing, wanted, sequence));
  const number = checked(result, 'loop attach', request.backingPath);
  return { path: `/dev/loop${number}`, number, diskSequence: Number(sequence.readBigUInt64LE()) };
}

/** What the kernel says of the device now; undefined when it keeps no such number. */
async function currentSequence(path: string): Promise<number | undefined> {
  const name = path.slice('/dev/'.length);
  try {
    return Number(await readFile(`/sys/block/${name}/diskseq`, 'utf8'));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Somebody, most likely udev reading a fresh disk, has it open: the kernel clears it when they close it. */
async function waitUntilGone(path: string, sequence: number): Promise<void> {
  using limit = deadline(lingerLimitMs, `clearing ${path}, which another program keeps open,`);
  while ((await currentSequence(path)) === sequence) await pause(lingerPauseMs, limit.signal);
}

/**
 * Frees the device. Fails with EBUSY, having done nothing, while a mounted file system or another device holds it; with
 * ENXIO when it is not attached; with a Fault when another program keeps it open for too long.
 * @param diskSequence which attachment is meant. Numbers are given again at once, so without it a detach that comes late
 *   takes the device from whoever has got it meanwhile: then too it is ENXIO
 */
export async function detachLoop(path: string, diskSequence = 0): Promise<void> {
  const sequence = Buffer.alloc(sequenceBytes);
  sequence.writeBigUInt64LE(BigInt(diskSequence));
  const result = checked(await clearCall.later(cString(path), sequence), 'loop detach', path);
  if (result > 0) await waitUntilGone(path, Number(sequence.readBigUInt64LE()));
}

async function readBackingPath(name: string): Promise<string | undefined> {
  const path = (await readFile(`/sys/block/${name}/loop/backing_file`, 'utf8')).replace(/\n$/, '');
  return path.endsWith(deletedSuffix) || !path.startsWith('/') ? undefined : path;
}

function decode(bytes: Buffer, backingPath: string | undefined): LoopDevice {
  const uint64 = (offset: number): number => Number(bytes.readBigUInt64LE(offset));
  const number = bytes.readUInt32LE(40);
  const flags = bytes.readUInt32LE(44);
  return {
    path: `/dev/loop${number}`,
    number,
    diskSequence: uint64(32),
    backingPath,
    backingDevice: uint64(0),
    backingInode: uint64(8),
    offsetBytes: uint64(16),
    sizeLimitBytes: uint64(24),
    isReadOnly: (flags & readOnlyFlag) !== 0,
    isAutoClear: (flags & autoClearFlag) !== 0,
    label: textAt(bytes, 48, 64),
  };
}

async function readLoop(name: string): Promise<LoopDevice | undefined> {
  try {
    const backingPath = await readBackingPath(name);
    const bytes = Buffer.alloc(stateBytes);
    const path = `/dev/${name}`;
    const result = await statusCall.later(cString(path), bytes);
    if (result < 0) throw systemError(result, 'loop status', path);
    return decode(bytes, backingPath);
  } catch (error) {
    // Not attached, or detached while we were looking.
    if (['ENOENT', 'ENXIO', 'ENODEV'].includes(codeOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** A machine may have thousands, and each costs a descriptor while it is read. */
const readAtOnce = 16;

/** Every attached loop device of this machine, in order of their numbers. */
export async function listLoops(): Promise<LoopDevice[]> {
  const names = (await readdir('/sys/block')).filter((name) => /^loop\d+$/.test(name));
  const found = await inParallel(names, readAtOnce, readLoop);
  return found.filter((loop) => loop !== undefined).sort((one, other) => one.number - other.number);
}
