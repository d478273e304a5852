/** Where a volume is mounted, and back. Pure. */
import { type FullName, fullName, parseDatastoreName, parseFullName, parseVolumeName } from '../../common/names.ts';

/** One folder for each datastore, since a name and its datastore together may be longer than a file name. */
export function mountPathOf(mountRoot: string, name: FullName): string {
  const { datastore, name: short } = parseFullName(name);
  return `${mountRoot}/${datastore}/${short}`;
}

/** The volume that would be mounted there; undefined for any other path. */
export function mountedName(mountRoot: string, path: string): FullName | undefined {
  const [datastore, short, ...more] = path.startsWith(`${mountRoot}/`)
    ? path.slice(mountRoot.length + 1).split('/')
    : [];
  if (datastore === undefined || short === undefined || more.length > 0) return undefined;
  try {
    return fullName(parseVolumeName(short), parseDatastoreName(datastore));
  } catch {
    return undefined;
  }
}
