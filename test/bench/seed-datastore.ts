/**
 * A datastore with many volumes, before the service opens it: the files that its own code would have written, without
 * the flush of each, which a benchmark of reads need not wait for.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseVolumeName } from '../../common/names.ts';
import { writeDescriptor } from '../../esx-service/core/descriptor.ts';
import { newDiskUuid } from '../../esx-service/core/disk-uuid.ts';
import { writeMetadata } from '../../esx-service/core/metadata.ts';
import { descriptorFile, extentFile, metadataFile } from '../../esx-service/core/volume-files.ts';

const sizeBytes = 100 * 1024 ** 2;

export const seededName = (number: number): string => `volume-${String(number).padStart(5, '0')}`;

/** @param datastore the folder that the plugin gets as its datastore */
export function seedDatastore(datastore: string, count: number): void {
  const folder = join(datastore, 'dockvols/_DEFAULT');
  mkdirSync(folder, { recursive: true });
  for (let number = 0; number < count; number++) writeVolume(folder, seededName(number));
}

function writeVolume(folder: string, text: string): void {
  const name = parseVolumeName(text);
  const uuid = newDiskUuid(randomUUID());
  const extent = openSync(join(folder, extentFile(name)), 'wx', 0o600);
  ftruncateSync(extent, sizeBytes);
  closeSync(extent);
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
