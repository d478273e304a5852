import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { deadline, pause } from '../../common/deadline.ts';
import { MkfsGate } from './mkfs-gate.ts';

test('bench gate: whoever comes while it is closed waits until it opens; afterwards nobody waits', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bench-'));
  t.teardown(() => rm(folder, { recursive: true }));
  using limit = deadline(10_000, 'the gate');
  using gate = new MkfsGate(folder, 'true');
  const come = async (): Promise<unknown> => (await once(spawn(join(gate.toolFolder, 'true')), 'close'))[0];
  gate.close();
  let passed = 0;
  const coming = [come(), come()].map((end) => end.finally(() => passed++));
  while (gate.waiting() < coming.length) await pause(5, limit.signal);
  t.is(passed, 0);
  gate.open();
  t.deepEqual(await Promise.all(coming), [0, 0]);
  t.is(await come(), 0);
  t.is(gate.waiting(), 0);
});
