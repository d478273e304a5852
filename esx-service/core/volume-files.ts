/**
 * How a volume's files are called, and what a file's name says about it. Invariant: no name that we make up for work in
 * progress can ever be a file of a volume, whatever the volume is called. Pure: no I/O.
 */
import { parseVolumeName, type VolumeName } from '../../common/names.ts';

export const descriptorFile = (name: VolumeName): string => `${name}.vmdk`;
export const extentFile = (name: VolumeName): string => `${name}-flat.vmdk`;
export const metadataFile = (name: VolumeName): string => `${name}.vmdk.json`;
/** A removed volume's descriptor: names what is still to be deleted. */
export const tombstoneFile = (name: VolumeName): string => `${name}.vmdk.removed`;

export type FileRole =
  | { readonly role: 'descriptor' | 'extent' | 'metadata' | 'tombstone'; readonly name: VolumeName }
  /** A file being written, or what a crash left of it. */
  | { readonly role: 'aside' }
  /** A delta, change map or the like of a volume. */
  | { readonly role: 'part'; readonly stem: string; readonly ending: string }
  | { readonly role: 'other' };

const asidePattern = /^\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/;
const partPattern = /^(.+)(-(?:\d{6}|delta|ctk|sesparse|rdmp?)(?:-(?:delta|sesparse|flat))?)\.vmdk$/s;
const endings = [
  ['.vmdk.json', 'metadata'],
  ['.vmdk.removed', 'tombstone'],
  ['-flat.vmdk', 'extent'],
  ['.vmdk', 'descriptor'],
] as const;

export function roleOf(file: string): FileRole {
  if (asidePattern.test(file)) return { role: 'aside' };
  const part = partPattern.exec(file);
  if (part) return { role: 'part', stem: part[1] ?? '', ending: part[2] ?? '' };
  const [ending, role] = endings.find(([candidate]) => file.endsWith(candidate)) ?? [];
  const name = ending === undefined ? undefined : volumeName(file.slice(0, -ending.length));
  return role === undefined || name === undefined ? { role: 'other' } : { role, name };
}

/** The volume whose changes are in this file, so that writing to the volume's own extent would destroy them. */
export function snapshotBase(role: FileRole): VolumeName | undefined {
  return role.role === 'part' && /^-\d{6}/.test(role.ending) ? volumeName(role.stem) : undefined;
}

function volumeName(stem: string): VolumeName | undefined {
  try {
    return parseVolumeName(stem);
  } catch {
    return undefined;
  }
}
