/** A small Debian of this system's release in a folder, with these packages installed, and never started; made once. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { madeOnce } from '../../scripts/made-once.ts';
import { mustRun } from '../../scripts/command.ts';
import { withOwnMounts } from '../../scripts/own-mounts.ts';
import { projectFolder } from '../payload/project.ts';

const makeMs = 600_000;
const aptFolder = '/etc/apt/sources.list.d';

export const machinesFolder = join(projectFolder, 'build/machines');

export async function smallDebian(name: string, packages: readonly string[]): Promise<string> {
  const release = /^VERSION_CODENAME=(\w+)$/m.exec(await readFile('/etc/os-release', 'utf8'))?.[1] ?? 'stable';
  return madeOnce(machinesFolder, name, `${release}-${packages.join('-')}`, async (fresh) => {
    // Debian's own: what else this machine's apt knows is not needed, and may want keys that are not there.
    const found = (await readdir(aptFolder).catch(() => [])).filter((file) => file.startsWith('debian'));
    const sources = found.length > 0 ? found.map((file) => join(aptFolder, file)) : ['/etc/apt/sources.list'];
    const chosen = ['--variant=apt', `--include=${packages.join(',')}`] as const;
    // It works in a private mount namespace, and for minutes.
    const make = withOwnMounts(['mmdebstrap', '--quiet', ...chosen, release, fresh, ...sources]);
    await mustRun(make, { timeoutMs: makeMs });
  });
}
