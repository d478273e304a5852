import { access, chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { deadline, pause } from '../../common/deadline.ts';
import { mustRun } from '../../scripts/command.ts';
import { CrashBed } from './bed.ts';
import { must } from './volumes.ts';

const limitMs = 30_000;
/** The kernel ends it at once; a busy machine may take a while to let it. */
const endMs = 5_000;

async function waitFor<T>(what: string, ms: number, ask: () => Promise<T | undefined>): Promise<T> {
  using limit = deadline(ms, what);
  for (;;) {
    const answer = await ask().catch(() => undefined);
    if (answer !== undefined) return answer;
    await pause(20, limit.signal);
  }
}

/** As mkfs on a slow disk, or of a large one: it works as long as the gate is there. */
async function makeGate(bed: CrashBed): Promise<{ readonly gate: string; readonly pidFile: string }> {
  const { folder, tools } = bed.places;
  const [gate, pidFile] = [join(folder, 'gate'), join(folder, 'tool.pid')];
  const real = (await mustRun(['sh', '-c', 'PATH=$PATH:/usr/sbin:/sbin command -v mkfs.ext4'])).trim();
  const script = `#!/bin/sh\necho $$ > '${pidFile}'\nwhile [ -e '${gate}' ]; do sleep 0.02; done\nexec '${real}' "$@"\n`;
  await writeFile(join(tools, 'mkfs.ext4'), script);
  await chmod(join(tools, 'mkfs.ext4'), 0o755);
  await writeFile(gate, '');
  return { gate, pidFile };
}

test('crash: a tool that changes a disk does not outlive the plugin that started it', async (t) => {
  await using bed = await CrashBed.open('apart');
  const { gate, pidFile } = await makeGate(bed);
  try {
    await must(bed, 'Create', { Name: 'crash', Opts: { size: '20mb' } });
    const mounting = bed.ask('Mount', { Name: 'crash', ID: 'one' });
    const pid = await waitFor('the start of mkfs', limitMs, async () => {
      const text = await readFile(pidFile, 'utf8');
      return text.endsWith('\n') ? text.trim() : undefined;
    });
    await bed.plugin.kill();
    await mounting.catch(() => undefined);
    const isGone = waitFor('the end of mkfs', endMs, async () => {
      return await access(`/proc/${pid}`).then(
        () => undefined,
        () => true,
      );
    });
    t.true(await isGone.catch(() => false));
  } finally {
    await rm(gate);
  }
  await bed.startAll();
});
