/**
 * A datastore in a folder of this machine. Invariants: a volume is there from the moment its descriptor has its name
 * until the moment it loses it, and its extent and metadata are on the disk all that time; no file that was there before
 * is ever overwritten. A folder that is gone is let go, so that it can be unmounted and mounted again, and is taken into
 * use again by the look that finds it back.
 */
import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import type { DurableFolder } from '../../common/durable-file.ts';
import { errnoOf, Fault, messageOf } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import { type DatastoreName, parseVolumeName, type VolumeName } from '../../common/names.ts';
import { formatSize } from '../../common/sizes.ts';
import { Undo } from '../../common/undo.ts';
import { writeDescriptor } from '../core/descriptor.ts';
import { writeMetadata } from '../core/metadata.ts';
import { descriptorFile, extentFile, metadataFile, tombstoneFile } from '../core/volume-files.ts';
import { fullNameOf, metadataOf, type VolumeRecord } from '../core/volume-record.ts';
import type { Datastore, DatastoreContent, FoundVolume, Listing, NewDisk, StoredDisk } from '../ports/datastore.ts';
import { datastoreFault, isGone } from './datastore-fault.ts';
import { changedDisks } from './disk-look.ts';
import { fillExtent } from './extent-maker.ts';
import { flushed, FolderMount, identityOf } from './folder-mount.ts';
import { readFolder, snapshotFilesIn, snapshotProblem, type Snapshots } from './folder-reader.ts';
import { type FolderPaths, prepareFolder } from './folder-setup.ts';
import { HalfMade } from './half-made.ts';
import { finishRemoval } from './removal-rest.ts';
import { inspectExtent, presenceOf, readVolume, storedDisk } from './volume-reader.ts';

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
  readonly #paths: FolderPaths;
  readonly #logger: Logger;
  readonly #halfMade = new HalfMade();
  /** Undefined while it is gone. */
  #mount: FolderMount | undefined;
  #listing: Promise<Listing> | undefined;
  #snapshots: Snapshots = new Map();

  private constructor(options: FolderDatastoreOptions, paths: FolderPaths, mount: FolderMount) {
    this.name = options.name;
    this.path = options.path;
    this.#paths = paths;
    this.#mount = mount;
    this.#logger = options.logger.child({ datastore: options.name });
  }

  static async open(options: FolderDatastoreOptions): Promise<FolderDatastore> {
    const { name, path } = options;
    const paths = await prepareFolder(name, path, options.createsFolder);
    return new FolderDatastore(options, paths, await FolderMount.open(paths, whatIs({ name, path })));
  }

  read(): Promise<DatastoreContent> {
    return this.#use('read its volumes', (folder) => readFolder(this.name, folder));
  }

  /** A call that comes while one hangs shares its fate, so that a disk that does not answer takes one thread only. */
  list(): Promise<Listing> {
    this.#listing ??= this.#list().finally(() => (this.#listing = undefined));
    return this.#listing;
  }

  async #list(): Promise<Listing> {
    try {
      const identity = await identityOf(this.#paths.volumes);
      const files = await readdir(this.#paths.volumes);
      const isOther = identity !== this.#mount?.identity;
      if (isOther) await this.#take();
      this.#snapshots = snapshotFilesIn(files);
      await this.#mount?.use(flushed);
      // What cannot be deleted yet, as on a disk that is read-only, can be looked at all the same.
      await this.#use('tidy up', (folder) => this.#halfMade.clear(folder)).catch(() => undefined);
      return { files, isOther };
    } catch (error) {
      if (!isGone(error) && !(error instanceof Fault)) throw error;
      await this.#mount?.letGo();
      this.#mount = undefined;
      if (error instanceof Fault) throw error;
      const hint = 'see that its disk is in order and mounted';
      throw new Fault('HostUnavailable', `${whatIs(this)} cannot be read: ${messageOf(error)}; ${hint}`, {
        cause: error,
      });
    }
  }

  async #take(): Promise<void> {
    const former = this.#mount;
    try {
      this.#mount = await FolderMount.open(this.#paths, whatIs(this));
    } catch (error) {
      throw new Fault('HostUnavailable', `${whatIs(this)} is back, but cannot be used: ${messageOf(error)}`, {
        cause: error,
      });
    }
    await former?.letGo();
  }

  /** @param doing as the end of "cannot …" */
  async #use<T>(doing: string, work: (folder: DurableFolder) => Promise<T>): Promise<T> {
    const mount = this.#mount;
    if (!mount) {
      const where = `cannot ${doing}: ${whatIs(this)}`;
      throw new Fault('HostUnavailable', `${where} is not there; mount it again, and run "vmdkops check"`);
    }
    try {
      return await mount.use(work);
    } catch (error) {
      throw datastoreFault(error, this, doing);
    }
  }

  async create(disk: NewDisk, signal: AbortSignal): Promise<StoredDisk> {
    signal.throwIfAborted();
    const doing = `create volume ${disk.name} of ${formatSize(disk.sizeBytes)}`;
    return await this.#use(doing, (folder) => this.#create(folder, disk, signal));
  }

  async #create(folder: DurableFolder, disk: NewDisk, signal: AbortSignal): Promise<StoredDisk> {
    await this.#halfMade.clear(folder);
    const asides = { extent: folder.newAside(), metadata: folder.newAside(), descriptor: folder.newAside() };
    await using undo = new Undo();
    undo.add(() => folder.sync());
    undo.add(() => this.#removeAsides(folder, asides));
    await this.#writeAsides(folder, disk, asides, signal);
    signal.throwIfAborted();
    const publish = async (aside: string, file: string): Promise<void> => {
      await this.#publish(folder, disk, aside, file);
      undo.add(() => this.#halfMade.remove(folder, aside, file));
    };
    await allOf([publish(asides.extent, extentFile(disk.name)), publish(asides.metadata, metadataFile(disk.name))]);
    await folder.sync();
    signal.throwIfAborted();
    await publish(asides.descriptor, descriptorFile(disk.name));
    // Only now: while an extent has its name aside too, it is known to belong to a create that was not completed.
    const stored = storedDisk(folder.pathOf(extentFile(disk.name)), 0, disk.sizeBytes);
    await allOf([this.#removeAsides(folder, asides), stored]);
    await folder.sync();
    undo.keep();
    return await stored;
  }

  async #writeAsides(folder: DurableFolder, disk: NewDisk, asides: Asides, signal: AbortSignal): Promise<void> {
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

  async #publish(folder: DurableFolder, disk: NewDisk, aside: string, file: string): Promise<void> {
    try {
      await folder.publish(aside, file);
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
      const where = folder.pathOf(file);
      throw new Fault(
        'VolumeExists',
        `volume ${disk.name}@${this.name} cannot be created: ${where} is there already; move it away or choose another name`,
      );
    }
  }

  async #removeAsides(folder: DurableFolder, asides: Asides): Promise<void> {
    await allOf(Object.values(asides).map((aside: string) => this.#halfMade.remove(folder, aside)));
  }

  async saveMetadata(record: VolumeRecord): Promise<void> {
    const name = nameOf(record);
    await this.#use(`write down what is new of volume ${name}`, (folder) =>
      folder.replace(metadataFile(name), writeMetadata(metadataOf(record))),
    );
  }

  async remove(record: VolumeRecord): Promise<void> {
    await this.#use(`remove volume ${nameOf(record)}`, (folder) => this.#remove(folder, record));
  }

  async #remove(folder: DurableFolder, record: VolumeRecord): Promise<void> {
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
    await this.#removeRest(folder, record, tombstone);
  }

  /** The volume is gone for good already; what fails here is deleted by a later check, or the next start. */
  async #removeRest(folder: DurableFolder, record: VolumeRecord, tombstone: string): Promise<void> {
    try {
      const name = nameOf(record);
      await allOf([folder.remove(this.#extentFileOf(record)), folder.remove(metadataFile(name))]);
      await folder.remove(tombstone);
    } catch (error) {
      this.#logger.warn('files of a removed volume are left', { volume: fullNameOf(record), ...failureFields(error) });
    }
  }

  #extentFileOf(record: VolumeRecord): string {
    if (!record.extent) throw new Fault('Internal', `volume ${fullNameOf(record)} has no extent to remove`);
    return basename(record.extent.path);
  }

  async inspect(record: VolumeRecord): Promise<StoredDisk> {
    const { extent } = record;
    if (!extent) throw new Fault('Internal', `volume ${fullNameOf(record)} has no extent to look at`);
    return await this.#use(`look at volume ${nameOf(record)}`, () => inspectExtent(extent));
  }

  changedDisks(records: readonly VolumeRecord[]): Promise<readonly VolumeRecord[]> {
    return changedDisks(records);
  }

  readVolume(name: VolumeName): Promise<FoundVolume> {
    return this.#use(`read volume ${name}`, async (folder) => {
      const { record, files } = await readVolume(folder, this.name, name, snapshotProblem(this.#snapshots, name));
      return { record, presence: record.problems.files === undefined ? 'volume' : await presenceOf(folder, files) };
    });
  }

  finishRemoval(name: VolumeName, held: ReadonlySet<string>): Promise<readonly string[]> {
    return this.#use(`delete what is left of volume ${name}`, (folder) => finishRemoval(folder, name, held));
  }

  async close(): Promise<void> {
    await this.#mount?.letGo();
  }
}

function whatIs({ name, path }: Pick<Datastore, 'name' | 'path'>): string {
  return `datastore ${name} (${path})`;
}

function nameOf(record: VolumeRecord): VolumeName {
  return parseVolumeName(record.volume.name);
}

/** Waits for all, so that nothing is still under way when a failure is answered; then throws the first failure. */
async function allOf(work: readonly Promise<unknown>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}
