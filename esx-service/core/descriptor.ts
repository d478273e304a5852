/**
 * The text file that names a disk's extent: written for VMware and QEMU to read, and read as both write it. Invariant:
 * what parses is one flat extent in the descriptor's own folder, so its bytes can be handed out as they are. Pure: no I/O.
 */
import { Fault } from '../../common/fault.ts';
import { sectorBytes } from '../../common/sizes.ts';
import { type DiskUuid, formatDiskUuid, parseDiskUuid } from '../../common/disk-uuid.ts';

export interface NewDescriptor {
  readonly uuid: DiskUuid;
  readonly extentFile: string;
  readonly sizeBytes: number;
  readonly isThin: boolean;
}

export interface Descriptor {
  /** Undefined when its maker gave it none. */
  readonly uuid: DiskUuid | undefined;
  readonly extentFile: string;
  readonly sizeBytes: number;
  /** Where in the extent's file the disk begins. */
  readonly offsetBytes: number;
  readonly isThin: boolean;
}

const header = '# Disk DescriptorFile';
/** These begin with binary data; their magic word names them better than "not a descriptor". */
const binaryKinds = { KDMV: 'a sparse VMDK', COWD: 'a copy-on-write delta of another disk' } as const;
const flatTypes: readonly string[] = [
  'vmfs',
  'vmfsthin',
  'vmfspreallocated',
  'vmfseagerzeroedthick',
  'monolithicflat',
  'twogbmaxextentflat',
];
const noParent = 'ffffffff';
/** `RW 204800 VMFS "name-flat.vmdk"`: the name may itself hold quotes, so it ends at the line's last one. */
const extentLine = /^(RW|RDONLY|NOACCESS)\s+(\d+)\s+(\w+)(?:\s+"(.*)"(?:\s+(\d+))?)?\s*$/s;
const settingLine = /^([\w.]+)\s*=\s*"?(.*?)"?\s*$/s;

export function writeDescriptor(disk: NewDescriptor): string {
  const sectors = disk.sizeBytes / sectorBytes;
  const { cylinders, heads, sectorsPerTrack } = geometry(sectors);
  const contentId = disk.uuid.slice(-8);
  return [
    header,
    'version=1',
    'encoding="UTF-8"',
    `CID=${contentId === noParent ? '00000000' : contentId}`,
    `parentCID=${noParent}`,
    'isNativeSnapshot="no"',
    'createType="vmfs"',
    '',
    '# Extent description',
    `RW ${sectors} VMFS "${disk.extentFile}"`,
    '',
    '# The Disk Data Base',
    '#DDB',
    '',
    'ddb.adapterType = "lsilogic"',
    `ddb.geometry.cylinders = "${cylinders}"`,
    `ddb.geometry.heads = "${heads}"`,
    `ddb.geometry.sectors = "${sectorsPerTrack}"`,
    `ddb.longContentID = "${disk.uuid}"`,
    ...(disk.isThin ? ['ddb.thinProvisioned = "1"'] : []),
    `ddb.uuid = "${formatDiskUuid(disk.uuid)}"`,
    'ddb.virtualHWVersion = "13"',
    '',
  ].join('\n');
}

/** What VMware's own tools write for this adapter type. */
function geometry(sectors: number): { cylinders: number; heads: number; sectorsPerTrack: number } {
  const gib = 1024 ** 3 / sectorBytes;
  const [heads, sectorsPerTrack] = sectors < gib ? [64, 32] : sectors < 2 * gib ? [128, 32] : [255, 63];
  return { cylinders: Math.min(65_535, Math.floor(sectors / (heads * sectorsPerTrack))), heads, sectorsPerTrack };
}

/**
 * @param bytes the whole file, or at least its first 64 KiB
 * @throws Fault DamagedVolume, in a sentence that continues "the volume cannot be used: its descriptor …"
 */
export function parseDescriptor(bytes: Uint8Array): Descriptor {
  const lines = descriptorText(bytes).split(/\r?\n/);
  if (lines[0]?.trim() !== header) refuse('is not a VMDK descriptor');
  const settings = new Map<string, string>();
  const extents: RegExpExecArray[] = [];
  for (const line of lines.slice(1)) {
    if (line.startsWith('#') || line.trim() === '') continue;
    const extent = extentLine.exec(line);
    const setting = extent ? undefined : settingLine.exec(line);
    if (extent) extents.push(extent);
    else if (setting?.[1] !== undefined) settings.set(setting[1].toLowerCase(), setting[2] ?? '');
    else refuse(`has a line that means nothing: ${JSON.stringify(line.slice(0, 80))}`);
  }
  checkKind(settings);
  const [extent, ...others] = extents;
  if (!extent) refuse('names no extent');
  if (others.length > 0) refuse(`names ${extents.length} extents; only disks of one extent can be used`);
  return {
    ...parseExtent(extent),
    uuid: parseDiskUuid(settings.get('ddb.uuid')),
    isThin: settings.get('ddb.thinprovisioned') === '1',
  };
}

function descriptorText(bytes: Uint8Array): string {
  const magic = Buffer.from(bytes.subarray(0, 4)).toString('latin1');
  if (magic === 'KDMV' || magic === 'COWD') refuse(`is ${binaryKinds[magic]}; only flat disks can be used`);
  const end = bytes.indexOf(0);
  // QEMU pads the text with NULs when it writes to it; anything after them that is not NUL is no text file.
  if (end !== -1 && bytes.subarray(end).some((byte) => byte !== 0)) refuse('is not a text file');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(end === -1 ? bytes : bytes.subarray(0, end));
  } catch {
    return refuse('is not UTF-8 text');
  }
}

function checkKind(settings: ReadonlyMap<string, string>): void {
  const createType = settings.get('createtype');
  if (createType === undefined) refuse('has no createType');
  if (!flatTypes.includes(createType.toLowerCase()))
    refuse(`has the type "${createType}"; only flat disks can be used`);
  const contentId = settings.get('cid') ?? '';
  if (!/^[0-9a-f]{1,8}$/i.test(contentId)) refuse(`has the CID "${contentId}", which is not 1 to 8 hexadecimal digits`);
  const parent = settings.get('parentcid') ?? noParent;
  if (parent.toLowerCase() !== noParent) refuse('is a delta of another disk; only disks without a parent can be used');
}

function parseExtent(match: RegExpExecArray): Pick<Descriptor, 'extentFile' | 'sizeBytes' | 'offsetBytes'> {
  const [, access, sectors, type, extentFile, offset] = match;
  if (type !== 'FLAT' && type !== 'VMFS') refuse(`has an extent of type ${type ?? ''}; only flat extents can be used`);
  if (access !== 'RW') refuse(`has an extent with access ${access ?? ''}; only RW can be used`);
  if (extentFile === undefined || extentFile === '') refuse('names no file for its extent');
  if (!isPlainFileName(extentFile))
    refuse(`names the extent ${JSON.stringify(extentFile)}, which is not a file of its own folder`);
  const sizeBytes = Number(sectors) * sectorBytes;
  const offsetBytes = Number(offset ?? 0) * sectorBytes;
  if (sizeBytes === 0) refuse('has an extent without sectors');
  if (!Number.isSafeInteger(sizeBytes + offsetBytes)) refuse('has an extent that is impossibly large');
  return { extentFile, sizeBytes, offsetBytes };
}

function isPlainFileName(name: string): boolean {
  return name !== '.' && name !== '..' && !/[/\\]|\p{Cc}/u.test(name);
}

function refuse(what: string): never {
  throw new Fault('DamagedVolume', `its descriptor ${what}`);
}
