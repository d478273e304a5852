/**
 * A datastore with many volumes, before the service opens it: the files that its own code would have written, without
 * the flush of each, which a benchmark of reads need not wait for.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { parseVolumeName } from '../../common/names.ts';
import { writeDescriptor } from '../../esx-service/core/descriptor.ts';
import { newDiskUuid } from '../../common/disk-uuid.ts';
import { writeMetadata } from '../../esx-service/core/metadata.ts';
import { descriptorFile, extentFile, metadataFile } from '../../esx-service/core/volume-files.ts';

const emptyBytes = 100 * 1024 ** 2;

export const seededName = (number: number): string => `volume-${String(number).padStart(5, '0')}`;

/** @param datastore the folder that the plugin gets as its datastore */
export function seedDatastore(datastore: string, count: number): void {
  const folder = folderOf(datastore);
  mkdirSync(folder, { recursive: true });
  for (let number = 0; number < count; number++) {
    writeFileSync(extentOf(folder, seededName(number)), '', { flag: 'wx', mode: 0o600 });
    truncateSync(extentOf(folder, seededName(number)), emptyBytes);
    writeVolume(folder, seededName(number), emptyBytes);
  }
}

/** One more volume, all of it data. */
export function seedFullVolume(datastore: string, name: string, sizeBytes: number): void {
  const folder = folderOf(datastore);
  const piece = randomBytes(1024 ** 2);
  const extent = openSync(extentOf(folder, name), 'wx', 0o600);
  for (let offset = 0; offset < sizeBytes; offset += piece.length) writeSync(extent, piece);
  fsyncSync(extent);
  closeSync(extent);
  writeVolume(folder, name, sizeBytes);
}

function folderOf(datastore: string): string {
  return join(datastore, 'dockvols/_DEFAULT');
}

function extentOf(folder: string, name: string): string {
  return join(folder, extentFile(parseVolumeName(name)));
}

function writeVolume(folder: string, text: string, sizeBytes: number): void {
  const name = parseVolumeName(text);
  const uuid = newDiskUuid(randomUUID());
  const metadata = writeMetadata({
    uuid,
    isNamedInFull: false,
    fstype: 'ext4',
    diskformat: 'thin',
    access: 'read-write',
    attachAs: 'independent_persistent',
    mountOptions: [],
    createdAt: new Date().toISOString(),
    createdBy: 'this-machine',
    isFormatted: false,
    isFreshClone: false,
    root: {},
  });
  writeFileSync(join(folder, metadataFile(name)), metadata, { mode: 0o600 });
  const descriptor = writeDescriptor({ uuid, extentFile: extentFile(name), sizeBytes, isThin: true });
  writeFileSync(join(folder, descriptorFile(name)), descriptor, { mode: 0o600 });
}
