/**
 * Makes a volume, empty or as a copy of another. The volume is there when its datastore holds it, never earlier; a
 * repeated create of what is there already succeeds, and one that asks for something else says what differs.
 */
import { Fault } from '../../../common/fault.ts';
import { formatSize, maxSizeBytes, minSizeBytes, sectorBytes } from '../../../common/sizes.ts';
import { checkFits, checkGrows } from '../../../common/volume-options.ts';
import type { FullName } from '../../../common/names.ts';
import type { Args, Reply } from '../../../native/channel/contract.ts';
import { differences } from '../../core/create-match.ts';
import { newDiskUuid } from '../../../common/disk-uuid.ts';
import type { Metadata } from '../../core/metadata.ts';
import { fullNameOf, recordOf } from '../../core/volume-record.ts';
import type { Command } from '../command.ts';
import type { ResolvedName } from '../datastores.ts';
import { progressLog } from '../progress-log.ts';
import {
  existing,
  type Guest,
  inUse,
  readLock,
  type Service,
  usable,
  type UsableRecord,
  writeLock,
} from '../service.ts';
import { surely } from '../truth.ts';

type CreateArgs = Args<'create'>;

export const create: Command<'create'> = async (service, guest, args, { key, signal }) => {
  const target = service.datastores.resolve(args.name, guest.defaultDatastore);
  const sourceName =
    args.cloneFrom === undefined ? undefined : service.datastores.resolve(args.cloneFrom, guest.defaultDatastore).full;
  checkRequest(args);
  service.authorise(guest.vm, 'create', target.full);
  if (sourceName !== undefined) service.authorise(guest.vm, 'attach', sourceName);
  const locks = [writeLock(target.full), ...(sourceName === undefined ? [] : [readLock(sourceName)])];
  const what = sourceName === undefined ? 'create' : `create ${target.full} as a clone of ${sourceName}`;
  return service.locks.hold(locks, { signal, what }, async () => {
    const present = answerPresent(service, target, args, key, sourceName);
    return present ?? make(service, guest, target, { args, key, sourceName }, signal);
  });
};

interface Wanted {
  readonly args: CreateArgs;
  readonly key: string;
  readonly sourceName: FullName | undefined;
}

async function make(
  service: Service,
  guest: Guest,
  target: ResolvedName,
  { args, key, sourceName }: Wanted,
  signal: AbortSignal,
): Promise<Reply<'create'>> {
  const source = sourceName === undefined ? undefined : await sourceOf(service, sourceName, signal);
  const sizeBytes = sizeOf(args, source);
  const metadata = await newMetadata(service, guest, target, { args, key, source, sizeBytes });
  const onProgress = progressLog(service, source ? 'copying disk' : 'writing zeros', target.full);
  const stored = await target.datastore.create(
    { name: target.name, sizeBytes, metadata, source: source?.extent, onProgress },
    signal,
  );
  const { name, datastore } = target;
  const record = recordOf({
    name,
    datastore: datastore.name,
    metadata,
    hasMetadata: true,
    ...stored,
    problem: undefined,
  });
  service.catalog.publish(record);
  return { volume: record.volume };
}

/** What can be refused without looking at any volume. */
function checkRequest(args: CreateArgs): void {
  const { sizeBytes, fstype, cloneFrom } = args;
  if (sizeBytes !== undefined) {
    if (sizeBytes < minSizeBytes || sizeBytes > maxSizeBytes || sizeBytes % sectorBytes !== 0) {
      throw new Fault(
        'InvalidOption',
        `size ${sizeBytes} bytes is not allowed; give 1mb to 62tb in whole sectors of 512 bytes`,
      );
    }
    if (fstype !== undefined) checkFits(fstype, sizeBytes);
  }
  if (cloneFrom === undefined && (sizeBytes === undefined || fstype === undefined)) {
    throw new Fault('InvalidOption', 'option size or fstype is missing; only a clone can take them from its source');
  }
  if (cloneFrom !== undefined && fstype !== undefined) {
    throw new Fault(
      'InvalidOption',
      'option fstype cannot be given with clone-from: a clone keeps the file system of its source',
    );
  }
}

function answerPresent(
  service: Service,
  target: ResolvedName,
  args: CreateArgs,
  key: string,
  sourceName: string | undefined,
): Reply<'create'> | undefined {
  const record = service.catalog.find(target.full);
  if (!record) return undefined;
  const { volume, createKey } = usable(record);
  const differing = createKey === key ? [] : differences(record, args, sourceName);
  if (differing.length === 0) return { volume };
  throw new Fault(
    'VolumeExists',
    `volume ${target.full} exists with ${differing.join('; ')}; remove it first, or choose another name`,
  );
}

async function sourceOf(service: Service, name: FullName, signal: AbortSignal): Promise<UsableRecord> {
  const source = usable(await surely(service, existing(service, name), signal));
  if (source.volume.attached) throw inUse(source, 'cannot be cloned');
  if (source.extent.offsetBytes > 0) {
    throw new Fault('NotSupported', `volume ${name} cannot be cloned: its disk begins inside of its file`);
  }
  return source;
}

function sizeOf(args: CreateArgs, source: UsableRecord | undefined): number {
  const sizeBytes = args.sizeBytes ?? source?.extent.sizeBytes ?? 0;
  if (!source) return sizeBytes;
  if (sizeBytes < source.extent.sizeBytes) {
    const sizes = [formatSize(sizeBytes), formatSize(source.extent.sizeBytes)] as const;
    throw new Fault(
      'InvalidOption',
      `size ${sizes[0]} is too small for a clone of ${fullNameOf(source)}, which has ${sizes[1]}`,
    );
  }
  const { fstype } = source.volume;
  if (fstype !== undefined) {
    checkFits(fstype, sizeBytes);
    checkGrows(fstype, source.extent.sizeBytes, sizeBytes);
  }
  return sizeBytes;
}

interface NewVolume {
  readonly args: CreateArgs;
  readonly key: string;
  readonly source: UsableRecord | undefined;
  readonly sizeBytes: number;
}

async function newMetadata(service: Service, guest: Guest, target: ResolvedName, wanted: NewVolume): Promise<Metadata> {
  const { args, key, source } = wanted;
  return {
    uuid: newDiskUuid(service.newUuid()),
    createKey: key,
    isNamedInFull: target.isInFull,
    fstype: source ? source.volume.fstype : args.fstype,
    diskformat: args.diskformat,
    access: args.access,
    attachAs: args.attachAs,
    mountOptions: source && args.mountOptions.length === 0 ? source.volume.mountOptions : args.mountOptions,
    cloneFrom: source && fullNameOf(source),
    createdAt: service.now().toISOString(),
    createdBy: guest.vm.name,
    isFormatted: source?.isFormatted ?? false,
    isFreshClone: source !== undefined && !(await isBlank(service, source)),
    root: source ? source.root : args.root,
  };
}

/**
 * Whether the disk surely bears no file system. One that was never reported formatted may bear one all the same, if its
 * guest died before it could tell; then it has data, which a thin disk shows.
 */
async function isBlank(service: Service, source: UsableRecord): Promise<boolean> {
  const { volume, hasMetadata, isFormatted, isFreshClone } = source;
  if (!hasMetadata || isFormatted || isFreshClone) return false;
  const datastore = service.datastores.find(volume.datastore, volume.datastore);
  return volume.diskformat !== 'thin' || (await datastore.inspect(source)).allocatedBytes === 0;
}
