/**
 * The root folder of a new file system: its owner and mode, and nothing in it. An ext file system comes with lost+found,
 * for which Docker would not copy an image's files into the volume, and databases would refuse it as not empty; e2fsck
 * makes it again when it needs it. Invariant: only a folder that nobody used is touched: empty but
 * for lost+found, and each attribute either as mkfs left it or already as wanted, so that a repeat after a crash ends
 * the work and never undoes what a user changed.
 */
import { constants } from 'node:fs';
import { open, readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '../../common/fault.ts';
import type { RootAttributes } from '../../common/volume-options.ts';

const asMade = { uid: 0, gid: 0, mode: 0o755 } as const;
const keys = ['uid', 'gid', 'mode'] as const;
type Attributes = Readonly<Record<(typeof keys)[number], number>>;
const modeBits = 0o7777;
const lostAndFound = 'lost+found';

export async function adornRootFolder(target: string, root: RootAttributes): Promise<void> {
  const wanted = { uid: root.uid ?? asMade.uid, gid: root.gid ?? asMade.gid, mode: root.mode ?? asMade.mode };
  await using folder = await open(target, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  const { uid, gid, mode } = await folder.stat();
  const now = { uid, gid, mode: mode & modeBits };
  if (!(await isUnused(target, now, wanted))) return;
  await removeIfThere(join(target, lostAndFound));
  if (keys.every((key) => now[key] === wanted[key])) return;
  // In this order: a change of owner takes the set-ID bits away.
  await folder.chown(wanted.uid, wanted.gid);
  await folder.chmod(wanted.mode);
}

async function isUnused(target: string, now: Attributes, wanted: Attributes): Promise<boolean> {
  if (keys.some((key) => now[key] !== asMade[key] && now[key] !== wanted[key])) return false;
  return (await readdir(target)).every((name) => name === lostAndFound);
}

/** By rmdir: what e2fsck put there is not ours to delete. */
async function removeIfThere(folder: string): Promise<void> {
  try {
    await rmdir(folder);
  } catch (error) {
    if (!['ENOENT', 'ENOTEMPTY'].includes(errnoOf(error) ?? '')) throw error;
  }
}
