/**
 * A datastore in a folder of this machine. Invariants: a volume is there from the moment its descriptor has its name
 * until the moment it loses it, and its extent and metadata are on the disk all that time; no file that was there before
 * is ever overwritten.
 */
import { basename, join } from 'node:path';
import { DurableFolder } from '../../common/durable-file.ts';
import { errnoOf, Fault, faultOf } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import { type DatastoreName, parseVolumeName, type VolumeName } from '../../common/names.ts';
import { formatSize } from '../../common/sizes.ts';
import { Undo } from '../../common/undo.ts';
import { writeDescriptor } from '../core/descriptor.ts';
import { writeMetadata } from '../core/metadata.ts';
import { descriptorFile, extentFile, metadataFile, tombstoneFile } from '../core/volume-files.ts';
import { fullNameOf, metadataOf, type VolumeRecord } from '../core/volume-record.ts';
import type { Datastore, DatastoreContent, NewDisk, StoredDisk } from '../ports/datastore.ts';
import { fillExtent } from './extent-maker.ts';
import { lockFolder } from './folder-lock.ts';
import { readFolder } from './folder-reader.ts';
import { prepareFolder } from './folder-setup.ts';
import { inspectExtent, storedDisk } from './volume-reader.ts';

/** In the folder above the groups' ones. */
const lockFile = '.vmdkopsd.lock';

export interface FolderDatastoreOptions {
  readonly name: DatastoreName;
  readonly path: string;
  /** Whether to make the folder when it is not there. */
  readonly createsFolder: boolean;
  readonly logger: Logger;
}

interface Asides {
  readonly extent: string;
  readonly metadata: string;
  readonly descriptor: string;
}

export class FolderDatastore implements Datastore {
  readonly name: DatastoreName;
  readonly path: string;
  readonly #folder: DurableFolder;
  readonly #lock: Disposable;
  readonly #logger: Logger;

  private constructor(options: FolderDatastoreOptions, folder: DurableFolder, lock: Disposable) {
    this.name = options.name;
    this.path = options.path;
    this.#folder = folder;
    this.#lock = lock;
    this.#logger = options.logger.child({ datastore: options.name });
  }

  static async open(options: FolderDatastoreOptions): Promise<FolderDatastore> {
    const { root, volumes } = await prepareFolder(options.name, options.path, options.createsFolder);
    const lock = lockFolder(join(root, lockFile), `datastore ${options.name} (${options.path})`);
    try {
      return new FolderDatastore(options, await DurableFolder.open(volumes), lock);
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
  }

  read(): Promise<DatastoreContent> {
    return readFolder(this.name, this.#folder);
  }

  async create(disk: NewDisk, signal: AbortSignal): Promise<StoredDisk> {
    signal.throwIfAborted();
    try {
      return await this.#create(disk, signal);
    } catch (error) {
      const fault = faultOf(error);
      if (fault.code !== 'NoSpace') throw error;
      const what = `volume ${disk.name} of ${formatSize(disk.sizeBytes)}`;
      throw new Fault(
        'NoSpace',
        `datastore ${this.name} has no space left for ${what}; remove volumes or choose a smaller size`,
        {
          cause: error,
        },
      );
    }
  }

  async #create(disk: NewDisk, signal: AbortSignal): Promise<StoredDisk> {
    const folder = this.#folder;
    const asides = { extent: folder.newAside(), metadata: folder.newAside(), descriptor: folder.newAside() };
    await using undo = new Undo();
    undo.add(() => folder.sync());
    undo.add(() => this.#removeAsides(asides));
    await this.#writeAsides(disk, asides, signal);
    signal.throwIfAborted();
    const publish = async (aside: string, file: string): Promise<void> => {
      await this.#publish(disk, aside, file);
      undo.add(() => folder.remove(file));
    };
    await allOf([publish(asides.extent, extentFile(disk.name)), publish(asides.metadata, metadataFile(disk.name))]);
    await folder.sync();
    signal.throwIfAborted();
    await publish(asides.descriptor, descriptorFile(disk.name));
    // Only now: while an extent has its name aside too, it is known to belong to a create that was not completed.
    const stored = storedDisk(folder.pathOf(extentFile(disk.name)), 0, disk.sizeBytes);
    await allOf([this.#removeAsides(asides), stored]);
    await folder.sync();
    undo.keep();
    return await stored;
  }

  async #writeAsides(disk: NewDisk, asides: Asides, signal: AbortSignal): Promise<void> {
    const folder = this.#folder;
    const { metadata, sizeBytes, source, onProgress } = disk;
    const descriptor = writeDescriptor({
      uuid: metadata.uuid,
      extentFile: extentFile(disk.name),
      sizeBytes,
      isThin: metadata.diskformat === 'thin',
    });
    const request = { sizeBytes, diskformat: metadata.diskformat, source, onProgress };
    await allOf([
      folder.writeAside(asides.extent, (file) => fillExtent(file, folder.pathOf(asides.extent), request, signal)),
      folder.writeAside(asides.metadata, (file) => file.writeFile(writeMetadata(metadata))),
      folder.writeAside(asides.descriptor, (file) => file.writeFile(descriptor)),
    ]);
  }

  async #publish(disk: NewDisk, aside: string, file: string): Promise<void> {
    try {
      await this.#folder.publish(aside, file);
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
      const where = this.#folder.pathOf(file);
      throw new Fault(
        'VolumeExists',
        `volume ${disk.name}@${this.name} cannot be created: ${where} is there already; move it away or choose another name`,
      );
    }
  }

  async #removeAsides(asides: Asides): Promise<void> {
    await allOf(Object.values(asides).map((file: string) => this.#folder.remove(file)));
  }

  async saveMetadata(record: VolumeRecord): Promise<void> {
    await this.#folder.replace(metadataFile(nameOf(record)), writeMetadata(metadataOf(record)));
  }

  async remove(record: VolumeRecord): Promise<void> {
    const folder = this.#folder;
    const name = nameOf(record);
    const [descriptor, tombstone] = [descriptorFile(name), tombstoneFile(name)];
    try {
      await folder.rename(descriptor, tombstone);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      this.#logger.warn('descriptor vanished, so the other files of the removed volume were left', {
        volume: fullNameOf(record),
      });
      return;
    }
    {
      await using undo = new Undo();
      undo.add(() => folder.rename(tombstone, descriptor));
      await folder.sync();
      undo.keep();
    }
    await this.#removeRest(record, tombstone);
  }

  /** The volume is gone for good already; what fails here is deleted at the next start. */
  async #removeRest(record: VolumeRecord, tombstone: string): Promise<void> {
    try {
      const name = nameOf(record);
      await allOf([this.#folder.remove(this.#extentFileOf(record)), this.#folder.remove(metadataFile(name))]);
      await this.#folder.remove(tombstone);
    } catch (error) {
      this.#logger.warn('files of a removed volume are left', { volume: fullNameOf(record), ...failureFields(error) });
    }
  }

  #extentFileOf(record: VolumeRecord): string {
    if (!record.extent) throw new Fault('Internal', `volume ${fullNameOf(record)} has no extent to remove`);
    return basename(record.extent.path);
  }

  async inspect(record: VolumeRecord): Promise<StoredDisk> {
    if (!record.extent) throw new Fault('Internal', `volume ${fullNameOf(record)} has no extent to look at`);
    return await inspectExtent(record.extent);
  }

  async close(): Promise<void> {
    this.#lock[Symbol.dispose]();
    await this.#folder[Symbol.asyncDispose]();
  }
}

function nameOf(record: VolumeRecord): VolumeName {
  return parseVolumeName(record.volume.name);
}

/** Waits for all, so that nothing is still under way when a failure is answered; then throws the first failure. */
async function allOf(work: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}
