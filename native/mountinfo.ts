/**
 * The kernel's mount table, /proc/PID/mountinfo, as values.
 *
 * Invariant: pure, and total: a line that is no mount entry is left out, never guessed at. Every text is as the kernel
 * knows it, with its escapes undone.
 */
export interface MountEntry {
  readonly mountId: number;
  readonly parentId: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Which directory of the file system is mounted: "/" unless this is a bind mount of a part. */
  readonly root: string;
  readonly target: string;
  readonly fstype: string;
  readonly source: string;
  /** The mount or the whole file system is read-only. */
  readonly isReadOnly: boolean;
  readonly mountOptions: readonly string[];
  readonly superOptions: readonly string[];
  /** "shared:7", "master:3", "unbindable": how mounts below it spread to other namespaces. */
  readonly propagation: readonly string[];
}

const escape = /\\([0-3][0-7]{2})/g;

/** Escapes stand for bytes, and several of them may make one character: so the text is put together as bytes. */
function unescape(field: string): string {
  if (!field.includes('\\')) return field;
  const pieces: Buffer[] = [];
  let last = 0;
  for (const match of field.matchAll(escape)) {
    pieces.push(Buffer.from(field.slice(last, match.index)), Buffer.from([Number.parseInt(match[1] ?? '', 8)]));
    last = match.index + match[0].length;
  }
  pieces.push(Buffer.from(field.slice(last)));
  return Buffer.concat(pieces).toString();
}

/** `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue` */
function parseLine(line: string): MountEntry | undefined {
  const fields = line.split(' ');
  const separator = fields.indexOf('-', 6);
  const [mountId, parentId, device, root, target, mountOptions] = fields;
  const [fstype, source, superOptions] = fields.slice(separator + 1);
  if (separator < 0 || device === undefined || root === undefined || target === undefined) return undefined;
  if (mountOptions === undefined || fstype === undefined || source === undefined) return undefined;
  const [deviceMajor, deviceMinor] = device.split(':');
  const ofMount = mountOptions.split(',');
  const ofSuper = unescape(superOptions ?? '').split(',');
  return {
    mountId: Number(mountId),
    parentId: Number(parentId),
    deviceMajor: Number(deviceMajor),
    deviceMinor: Number(deviceMinor),
    root: unescape(root),
    target: unescape(target),
    fstype: unescape(fstype),
    source: unescape(source),
    isReadOnly: ofMount.includes('ro') || ofSuper.includes('ro'),
    mountOptions: ofMount,
    superOptions: ofSuper,
    propagation: fields.slice(6, separator),
  };
}

export function parseMountinfo(text: string): readonly MountEntry[] {
  return text
    .split('\n')
    .map(parseLine)
    .filter((entry) => entry !== undefined);
}
