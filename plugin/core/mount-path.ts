/** Where a volume is mounted. Pure. */
import { type FullName, parseFullName } from '../../common/names.ts';

/** One folder for each datastore, since a name and its datastore together may be longer than a file name. */
export function mountPathOf(mountRoot: string, fullName: FullName): string {
  const { datastore, name } = parseFullName(fullName);
  return `${mountRoot}/${datastore}/${name}`;
}
