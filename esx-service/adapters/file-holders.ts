/** Which other program of this machine has a file open: for the sentence that says why it cannot be had. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { diskIdOf } from './volume-reader.ts';

/** Of the first that is found; undefined when nobody is, or nobody that we may look at. */
export async function fileHolder(diskId: string): Promise<string | undefined> {
  for (const pid of await namesIn('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const folder = `/proc/${pid}/fd`;
    for (const descriptor of await namesIn(folder)) {
      const status = await stat(`${folder}/${descriptor}`).catch(() => undefined);
      if (status && diskIdOf(status) === diskId) return await described(pid);
    }
  }
  return undefined;
}

/** A QEMU by the name of its VM, anything else by its own. */
async function described(pid: string): Promise<string> {
  const words = await contentOf(`/proc/${pid}/cmdline`);
  const name = /\0-{1,2}name\0(?:guest=)?([^\0,]+)/.exec(words)?.[1];
  const program = (await contentOf(`/proc/${pid}/comm`)).trim();
  return name === undefined ? `process ${pid} (${program})` : `VM ${name} (process ${pid}, ${program})`;
}

async function contentOf(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(() => '');
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return await readdir(folder).catch(() => []);
}
