/** The product's Debian packages for tests: as they are shipped, but not compressed, which would take most of the time. */
import { basename, join } from 'node:path';
import { buildDebianPackage } from '../../../packaging/debian/build.ts';
import type { PackageName } from '../../../packaging/debian/packages.ts';
import { packagesFolder } from './machine.ts';

const made = new Map<string, Promise<string>>();

/** @returns the path of a package that is made now */
export function loosePackage(name: PackageName, version: string): Promise<string> {
  return buildDebianPackage({ name, architecture: 'amd64', version, folder: packagesFolder, isLoose: true });
}

/** Made once in each process. @returns where a machine finds it */
export async function packageForMachine(name: PackageName, version: string): Promise<string> {
  const key = `${name} ${version}`;
  const making = made.get(key) ?? loosePackage(name, version);
  made.set(key, making);
  return join('/srv/packages', basename(await making));
}
