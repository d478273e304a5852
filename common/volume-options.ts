/**
 * What a volume can be asked to be. One table of options serves the plugin, the service and the error that lists them,
 * so both sides accept the same and explain it alike. Pure: no I/O.
 */
import { Fault } from './fault.ts';
import { formatSize, minSizeBytes, parseSize } from './sizes.ts';

export const fstypes = ['ext4', 'xfs', 'btrfs', 'ext3', 'ext2'] as const;
export type Fstype = (typeof fstypes)[number];
export const diskformats = ['thin', 'zeroedthick', 'eagerzeroedthick'] as const;
export type Diskformat = (typeof diskformats)[number];
export const accessModes = ['read-write', 'read-only'] as const;
export type AccessMode = (typeof accessModes)[number];
export const attachModes = ['independent_persistent', 'persistent'] as const;
export type AttachMode = (typeof attachModes)[number];

/** Mount options that can neither widen what a container may do, nor redirect data, nor weaken its durability. */
export const safeMountOptions = [
  'noatime',
  'relatime',
  'strictatime',
  'nodiratime',
  'lazytime',
  'sync',
  'dirsync',
  'nosuid',
  'nodev',
  'noexec',
  'discard',
  'nodiscard',
] as const;
export type MountOption = (typeof safeMountOptions)[number];

/** Owner and permission bits for the root folder of a newly formatted file system. */
export interface RootAttributes {
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly mode?: number | undefined;
}

/** The options of a create, checked and with defaults filled in; `undefined` means "as the clone's source has it". */
export interface VolumeOptions {
  readonly sizeBytes: number | undefined;
  readonly fstype: Fstype | undefined;
  readonly diskformat: Diskformat;
  readonly access: AccessMode;
  readonly attachAs: AttachMode;
  readonly cloneFrom: string | undefined;
  readonly mountOptions: readonly MountOption[];
  readonly root: RootAttributes;
}

/** What mkfs of each type refuses to go below (e2fsprogs 1.47, xfsprogs 6.1, btrfs-progs 6.2). */
const smallestBytes: Readonly<Record<Fstype, number>> = {
  ext4: minSizeBytes,
  ext3: 3 * minSizeBytes,
  ext2: minSizeBytes,
  xfs: 300 * minSizeBytes,
  btrfs: 109 * minSizeBytes,
};

export const optionTable = {
  size: { default: '100mb', allowed: 'a whole number and kb, mb, gb or tb, up to 62tb' },
  fstype: { default: 'ext4', allowed: fstypes.join(', ') },
  diskformat: { default: 'thin', allowed: diskformats.join(', ') },
  access: { default: 'read-write', allowed: accessModes.join(', ') },
  'attach-as': { default: 'independent_persistent', allowed: attachModes.join(', ') },
  'clone-from': { default: 'none', allowed: 'the name of a volume' },
  'mount-options': { default: 'none', allowed: `a comma-separated list of ${safeMountOptions.join(', ')}` },
  uid: { default: '0', allowed: 'a whole number from 0 to 4294967294' },
  gid: { default: '0', allowed: 'a whole number from 0 to 4294967294' },
  mode: { default: '0755', allowed: 'an octal number from 0 to 7777' },
} as const;
type OptionName = keyof typeof optionTable;

/** 2^32 - 1 means "leave it" to chown(2). */
const maxId = 4_294_967_294;

/**
 * Checks the strings that Docker passes on from `-o key=value`.
 * @throws Fault InvalidOption, in one sentence with the value and what is allowed
 */
export function parseVolumeOptions(given: Readonly<Record<string, string>>): VolumeOptions {
  for (const key of Object.keys(given)) {
    if (!Object.hasOwn(optionTable, key)) {
      throw new Fault('InvalidOption', `unknown option ${JSON.stringify(key)}; valid options are ${optionList()}`);
    }
  }
  const text = (name: OptionName): string | undefined => (Object.hasOwn(given, name) ? given[name] : undefined);
  const cloneFrom = text('clone-from');
  if (cloneFrom === '') refuse('clone-from', cloneFrom);
  const isClone = cloneFrom !== undefined;
  if (isClone && text('fstype') !== undefined) {
    throw new Fault(
      'InvalidOption',
      'option fstype cannot be given with clone-from: a clone keeps the file system of its source',
    );
  }
  for (const name of ['uid', 'gid', 'mode'] as const) {
    if (isClone && text(name) !== undefined) {
      throw new Fault(
        'InvalidOption',
        `option ${name} cannot be given with clone-from: a clone is not newly formatted`,
      );
    }
  }
  const sizeText = text('size') ?? (isClone ? undefined : optionTable.size.default);
  const fstype = isClone ? undefined : oneOf('fstype', fstypes, text('fstype'));
  const sizeBytes = sizeText === undefined ? undefined : parseSize(sizeText);
  if (fstype !== undefined && sizeBytes !== undefined) checkFits(fstype, sizeBytes);
  return {
    sizeBytes,
    fstype,
    diskformat: oneOf('diskformat', diskformats, text('diskformat')),
    access: oneOf('access', accessModes, text('access')),
    attachAs: oneOf('attach-as', attachModes, text('attach-as')),
    cloneFrom,
    mountOptions: parseMountOptions(text('mount-options')),
    root: {
      uid: parseId('uid', text('uid')),
      gid: parseId('gid', text('gid')),
      mode: parseMode(text('mode')),
    },
  };
}

/** Throws InvalidOption when mkfs of this type would refuse a disk of this size. */
export function checkFits(fstype: Fstype, sizeBytes: number): void {
  const least = smallestBytes[fstype];
  if (sizeBytes >= least) return;
  throw new Fault(
    'InvalidOption',
    `size ${formatSize(sizeBytes)} is too small for ${fstype}, which needs at least ${formatSize(least)}`,
  );
}

/** The kernel resizes no btrfs to less. */
export const smallestResizedBtrfsBytes = 256 * 1024 ** 2;

/** Throws InvalidOption when a file system of this type cannot be made to fill a clone of this size. */
export function checkGrows(fstype: Fstype, fromBytes: number, toBytes: number): void {
  if (fstype !== 'btrfs' || toBytes <= fromBytes || toBytes >= smallestResizedBtrfsBytes) return;
  throw new Fault(
    'InvalidOption',
    `size ${formatSize(toBytes)} is too small for a larger clone of a btrfs, which can only grow to ${formatSize(smallestResizedBtrfsBytes)} or more; give that, or its source's ${formatSize(fromBytes)}`,
  );
}

function optionList(): string {
  return Object.entries(optionTable)
    .map(([name, row]) => `${name} (default ${row.default})`)
    .join(', ');
}

function oneOf<const T extends readonly string[]>(name: OptionName, allowed: T, value: string | undefined): T[number] {
  const wanted = value ?? optionTable[name].default;
  const found = allowed.find((candidate) => candidate === wanted);
  return found ?? refuse(name, wanted);
}

function parseMountOptions(value: string | undefined): readonly MountOption[] {
  if (value === undefined) return [];
  const words = value.split(',').map((word) => word.trim());
  return words.map((word) => safeMountOptions.find((safe) => safe === word) ?? refuse('mount-options', word));
}

function parseId(name: 'uid' | 'gid', value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const id = Number(value);
  return /^\d{1,10}$/.test(value) && id <= maxId ? id : refuse(name, value);
}

function parseMode(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  return /^[0-7]{1,5}$/.test(value) && parseInt(value, 8) <= 0o7777 ? parseInt(value, 8) : refuse('mode', value);
}

function refuse(name: OptionName, value: string): never {
  throw new Fault(
    'InvalidOption',
    `option ${name} has the value ${JSON.stringify(value)}; allowed is ${optionTable[name].allowed}`,
  );
}
