/**
 * The side-car file of a volume: what its disk cannot say itself. Invariant: what parses is whole and of a version that
 * we know, so it can be rewritten without losing anything. Pure: no I/O.
 */
import * as z from 'zod';
import { Fault } from '../../common/fault.ts';
import { accessModes, attachModes, diskformats, fstypes, safeMountOptions } from '../../common/volume-options.ts';
import { version as release } from '../../common/version.ts';
import { type DiskUuid, isDiskUuid } from '../../common/disk-uuid.ts';

/** Of the file. The next one comes with a step from this one to it, and is all that is written from then on. */
const currentVersion = 1;

const metadataSchema = z.strictObject({
  formatVersion: z.literal(currentVersion),
  uuid: z.custom<DiskUuid>((value) => typeof value === 'string' && isDiskUuid(value), 'not 32 hexadecimal digits'),
  /** The key of the command that created it: the same key again is the same create. */
  createKey: z.string().optional(),
  isNamedInFull: z.boolean(),
  fstype: z.enum(fstypes).optional(),
  diskformat: z.enum(diskformats),
  access: z.enum(accessModes),
  attachAs: z.enum(attachModes),
  mountOptions: z.array(z.enum(safeMountOptions)),
  cloneFrom: z.string().optional(),
  createdAt: z.string(),
  createdBy: z.string(),
  /** A guest reported that the disk bears a file system. Without it, it may or may not. */
  isFormatted: z.boolean(),
  /** The file system is still the source's copy. */
  isFreshClone: z.boolean(),
  root: z.strictObject({
    uid: z.number().int().optional(),
    gid: z.number().int().optional(),
    mode: z.number().int().optional(),
  }),
});

export type Metadata = Readonly<Omit<z.infer<typeof metadataSchema>, 'formatVersion'>>;

export function writeMetadata(metadata: Metadata): string {
  return `${JSON.stringify({ formatVersion: currentVersion, ...metadata }, undefined, 2)}\n`;
}

/**
 * @param file where it is, for people
 * @throws Fault DamagedVolume, in a sentence that continues "the volume cannot be used: its metadata …"
 */
export function parseMetadata(text: string, file: string): Metadata {
  const result = metadataSchema.safeParse(parseJson(text));
  if (result.success) {
    const { formatVersion: _, ...metadata } = result.data;
    return metadata;
  }
  const version = z.object({ formatVersion: z.number() }).safeParse(parseJson(text));
  if (version.success && version.data.formatVersion > currentVersion) {
    refuse(
      `${file} has format version ${version.data.formatVersion}, written by a newer vmdkopsd; this one (${release}) reads ${currentVersion}: install that release again; the file was left as it is`,
    );
  }
  const problems = result.error.issues.map(({ path, message }) => [...path, message].join(': '));
  return refuse(`is damaged: ${problems.join('; ')}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return refuse('is not JSON');
  }
}

function refuse(what: string): never {
  throw new Fault('DamagedVolume', `its metadata ${what}`);
}
