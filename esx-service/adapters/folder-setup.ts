/**
 * A datastore's folder, made ready. Invariant: what is returned is a folder in which files can be made and linked, so
 * that a wrong path or mount ends the start, not the first create.
 */
import { mkdir, open, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DurableFolder } from '../../common/durable-file.ts';
import { errnoOf, Fault, messageOf } from '../../common/fault.ts';

/** The group of all VMs that are in no other. */
const vmgroup = '_DEFAULT';
/** Programs that are given a disk, as a QEMU is, may pass through to it, but see no others. */
const folderMode = 0o711;

export interface FolderPaths {
  /** Where the lock lies: one for all groups. */
  readonly root: string;
  readonly volumes: string;
}

/** @throws Fault InvalidRequest that names the datastore, its path and what is wrong with it */
export async function prepareFolder(name: string, path: string, createsFolder: boolean): Promise<FolderPaths> {
  const root = join(path, 'dockvols');
  const volumes = join(root, vmgroup);
  const refuse = (why: string, cause?: unknown): never => {
    throw new Fault(
      'InvalidRequest',
      `configuration: key datastores.${name} has the value ${JSON.stringify(path)}: ${why}`,
      { cause },
    );
  };
  // A missing folder is most often a disk that is not mounted: to make it would show an empty datastore in its place.
  if (!createsFolder && (await isMissing(path)))
    refuse('this folder does not exist; make it, or mount the disk that holds it');
  try {
    const first = await mkdir(volumes, { recursive: true, mode: folderMode });
    await syncFolders(root, dirname(first ?? path));
    await checkLinks(volumes);
  } catch (error) {
    refuse(`this folder cannot be used: ${messageOf(error)}`, error);
  }
  return { root, volumes };
}

async function isMissing(path: string): Promise<boolean> {
  try {
    await stat(path);
    return false;
  } catch (error) {
    return errnoOf(error) === 'ENOENT';
  }
}

/** This folder and those above it, up to and with the last: so that none that was made is lost with the power. */
async function syncFolders(path: string, last: string): Promise<void> {
  await syncFolder(path);
  if (path !== last && path !== dirname(path)) await syncFolders(dirname(path), last);
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function checkLinks(path: string): Promise<void> {
  await using folder = await DurableFolder.open(path);
  const [aside, second] = [folder.newAside(), folder.newAside()];
  await folder.writeAside(aside, () => Promise.resolve());
  try {
    await folder.publish(aside, second);
  } finally {
    await folder.remove(aside);
    await folder.remove(second);
  }
}
