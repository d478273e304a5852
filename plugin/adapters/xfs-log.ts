/**
 * The last record of an xfs log, by which an unmount says that nothing is left to replay. It names the file system by
 * UUID, and is the only one that a mount compares. Invariants: undefined unless every field and the checksum prove it to
 * be that record; one with another UUID differs in its first block alone.
 */
import { crc32cAround } from './crc32c.ts';

export interface Log {
  readonly blockCount: number;
  /** One block of `logBlockBytes`. */
  readonly read: (block: number) => Promise<Buffer>;
}

export interface UnmountRecord {
  /** Where in the log it starts. */
  readonly block: number;
  /** One block or more; then its payload. */
  readonly header: Buffer;
  readonly payload: Buffer;
}

export const logBlockBytes = 512;

const magic = 0xfeedbabe;
const at = { cycle: 4, length: 12, lsn: 16, checksum: 32, operations: 40, uuid: 304, size: 320 } as const;
const uuidBytes = 16;
/** What the checksum covers of the header's first block, and of each further one that the payload needs. */
const checkedBytes = 328;
const checkedBytesOfFurther = 260;
/** What one block of header can describe. */
const describedBytes = 32_768;
/** In blocks: no record is longer. */
const longestRecord = 512 + 8;
/** In the payload's first operation. */
const flagsAt = 9;
const unmountFlag = 0x20;

/** @param uuid that of the superblock, which a record of the last mount has too */
export async function findUnmountRecord(log: Log, uuid: Buffer): Promise<UnmountRecord | undefined> {
  const head = await findHead(log);
  if (head === undefined) return undefined;
  for (let distance = 1; distance <= Math.min(longestRecord, log.blockCount); distance += 1) {
    const block = wrapped(log, head - distance);
    const first = await log.read(block);
    if (first.readUInt32BE(0) !== magic) continue;
    const record = await readRecord(log, block, first, distance);
    return record && isUnmountOf(record, uuid) ? record : undefined;
  }
  return undefined;
}

/** The first block of its header, which is the only one that changes. */
export function recordStartWith({ header, payload }: UnmountRecord, uuid: Buffer): Buffer {
  const next = Buffer.from(header);
  uuid.copy(next, at.uuid);
  next.writeUInt32LE(checksumOf(next, payload), at.checksum);
  return next.subarray(0, logBlockBytes);
}

/**
 * Where the next record would start: the log is written round and round, and every block tells which round it is of.
 * Where a crash has left a few of two rounds mixed, the next mount has put that right.
 */
async function findHead(log: Log): Promise<number | undefined> {
  const cycle = cycleOf(await log.read(0));
  let low = 0;
  let high = log.blockCount;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (cycleOf(await log.read(middle)) === cycle) low = middle;
    else high = middle;
  }
  const isWhole = high === log.blockCount || cycleOf(await log.read(high)) === cycle - 1;
  return isWhole ? high : undefined;
}

/** The record of so many blocks, if it has as many. */
async function readRecord(
  log: Log,
  block: number,
  first: Buffer,
  blockCount: number,
): Promise<UnmountRecord | undefined> {
  const headerBlocks = Math.max(1, Math.ceil(first.readUInt32BE(at.size) / describedBytes));
  const payloadBytes = first.readUInt32BE(at.length);
  if (payloadBytes === 0 || headerBlocks + payloadBytes / logBlockBytes !== blockCount) return undefined;
  const blocks: Buffer[] = [first];
  for (let index = 1; index < blockCount; index += 1) blocks.push(await log.read(wrapped(log, block + index)));
  return {
    block,
    header: Buffer.concat(blocks.slice(0, headerBlocks)),
    payload: Buffer.concat(blocks.slice(headerBlocks)),
  };
}

function isUnmountOf({ block, header, payload }: UnmountRecord, uuid: Buffer): boolean {
  const lsn = (BigInt(header.readUInt32BE(at.cycle)) << 32n) | BigInt(block);
  return (
    header.readBigUInt64BE(at.lsn) === lsn &&
    header.readUInt32BE(at.operations) === 1 &&
    (payload.readUInt8(flagsAt) & unmountFlag) !== 0 &&
    header.subarray(at.uuid, at.uuid + uuidBytes).equals(uuid) &&
    header.readUInt32LE(at.checksum) === checksumOf(header, payload)
  );
}

function checksumOf(header: Buffer, payload: Buffer): number {
  const further: Buffer[] = [];
  for (let index = 1; index < payload.length / describedBytes; index += 1) {
    further.push(header.subarray(index * logBlockBytes, index * logBlockBytes + checkedBytesOfFurther));
  }
  return crc32cAround(Buffer.concat([header.subarray(0, checkedBytes), ...further, payload]), at.checksum);
}

function cycleOf(block: Buffer): number {
  const word = block.readUInt32BE(0);
  return word === magic ? block.readUInt32BE(at.cycle) : word;
}

function wrapped({ blockCount }: Log, block: number): number {
  return (block + blockCount) % blockCount;
}
