/**
 * One volume, read from its files. Invariant: whatever the files hold, the answer is a record, and what is wrong with
 * them is its problem: one damaged volume never hides the others.
 */
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open } from 'node:fs/promises';
import type { DurableFolder } from '../../common/durable-file.ts';
import { errnoOf, Fault, messageOf } from '../../common/fault.ts';
import type { DatastoreName, VolumeName } from '../../common/names.ts';
import { type Descriptor, parseDescriptor } from '../core/descriptor.ts';
import { foreignMetadata } from '../core/foreign-disk.ts';
import { type Metadata, parseMetadata } from '../core/metadata.ts';
import { descriptorFile, extentFile, metadataFile } from '../core/volume-files.ts';
import { type Extent, recordOf, type VolumeRecord } from '../core/volume-record.ts';
import type { StoredDisk } from '../ports/datastore.ts';

const descriptorLimitBytes = 64 * 1024;
/** stat counts blocks in this unit, whatever the file system's. */
const statBlockBytes = 512;

export interface ReadVolume {
  readonly record: VolumeRecord;
  /** The files that belong to it. */
  readonly files: readonly string[];
}

/** A value, or the sentence that says why there is none. */
type Attempt<T> =
  { readonly value: T; readonly problem?: undefined } | { readonly value?: undefined; readonly problem: string };

export async function readVolume(
  folder: DurableFolder,
  datastore: DatastoreName,
  name: VolumeName,
  knownProblem: string | undefined,
): Promise<ReadVolume> {
  const [descriptor, metadata] = await Promise.all([
    attempt(() => readDescriptor(folder.pathOf(descriptorFile(name)))),
    attempt(() => readMetadata(folder.pathOf(metadataFile(name)))),
  ]);
  const found = descriptor.value;
  const disk = found && (await attempt(() => findExtent(folder, found.descriptor)));
  const stored = disk?.value;
  const assumed = foreignMetadata({
    descriptor: found?.descriptor,
    diskId: stored?.extent.diskId,
    allocatedBytes: stored?.allocatedBytes ?? 0,
    createdAt: found?.createdAt ?? new Date(0),
  });
  const record = recordOf({
    name,
    datastore,
    metadata: metadata.value ?? assumed,
    hasMetadata: metadata.value !== undefined,
    extent: stored?.extent,
    allocatedBytes: stored?.allocatedBytes ?? 0,
    problem: descriptor.problem ?? disk?.problem ?? metadata.problem ?? knownProblem,
  });
  // A descriptor that cannot be read may mean the extent of its own name.
  const extent = found?.descriptor.extentFile ?? extentFile(name);
  return { record, files: [descriptorFile(name), metadataFile(name), extent] };
}

/** @param files of a volume, its descriptor first */
export async function presenceOf(
  folder: DurableFolder,
  files: ReadVolume['files'],
): Promise<'volume' | 'parts' | 'nothing'> {
  const [descriptor, ...others] = await Promise.all(files.map((file) => statusOf(folder.pathOf(file))));
  if (descriptor) return 'volume';
  return others.some((status) => status !== undefined) ? 'parts' : 'nothing';
}

async function attempt<T>(read: () => Promise<T>): Promise<Attempt<T>> {
  try {
    return { value: await read() };
  } catch (error) {
    if (error instanceof Fault && error.code === 'DamagedVolume') return { problem: error.message };
    return { problem: `its files cannot be read: ${messageOf(error)}` };
  }
}

async function readDescriptor(path: string): Promise<{ readonly descriptor: Descriptor; readonly createdAt: Date }> {
  await using file = await openDescriptor(path);
  const { size, birthtime } = await file.stat();
  const buffer = Buffer.alloc(Math.min(size, descriptorLimitBytes));
  const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
  return { descriptor: parseDescriptor(buffer.subarray(0, bytesRead)), createdAt: birthtime };
}

async function openDescriptor(path: string): Promise<FileHandle> {
  try {
    return await openFile(path, 'its descriptor');
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    throw new Fault('DamagedVolume', `its descriptor ${path} is missing; put it back`);
  }
}

/** Only a plain file: a link could lead to a file of somebody else. */
async function openFile(path: string, what: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) !== 'ELOOP') throw error;
    throw new Fault('DamagedVolume', `${what} is a symbolic link; only plain files can be used`);
  }
}

async function readMetadata(path: string): Promise<Metadata | undefined> {
  try {
    await using file = await openFile(path, 'its metadata');
    return parseMetadata(await file.readFile('utf8'), path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function findExtent(folder: DurableFolder, descriptor: Descriptor): Promise<StoredDisk> {
  return storedDisk(folder.pathOf(descriptor.extentFile), descriptor.offsetBytes, descriptor.sizeBytes);
}

/**
 * @throws Fault DamagedVolume when the file is missing, no plain file, or too short; of a longer one, the disk is as much
 * as its descriptor says
 */
export async function storedDisk(path: string, offsetBytes: number, sizeBytes: number): Promise<StoredDisk> {
  const status = await statusOf(path);
  if (!status) refuse(`its extent ${path} is missing; put it back`);
  if (!status.isFile()) refuse(`its extent ${path} is not a plain file`);
  const missingBytes = offsetBytes + sizeBytes - status.size;
  if (missingBytes > 0) refuse(`its extent ${path} is ${missingBytes} bytes shorter than its descriptor says`);
  return {
    extent: { diskId: diskIdOf(status), path, offsetBytes, sizeBytes },
    allocatedBytes: status.blocks * statBlockBytes,
  };
}

/** The same as long as the file is the same one, and what the kernel says of a loop device's backing file. */
export function diskIdOf(status: { readonly dev: number; readonly ino: number }): string {
  return `${status.dev}:${status.ino}`;
}

/** Undefined when it is not there. */
export async function statusOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The disk of a volume as it is now, if it is still the one that was read. */
export async function inspectExtent(extent: Extent): Promise<StoredDisk> {
  const stored = await storedDisk(extent.path, extent.offsetBytes, extent.sizeBytes);
  if (stored.extent.diskId !== extent.diskId) {
    refuse(
      `its extent ${extent.path} was replaced by another file; put the former one back, or restart the service to use the new one`,
    );
  }
  return stored;
}

function refuse(problem: string): never {
  throw new Fault('DamagedVolume', problem);
}
