/**
 * Shows the volume driver at work, for real: containers, a disk image, a loop device, a file system. Takes everything
 * away again, also when it is interrupted or fails.
 *
 * By default it starts a dockerd of its own. `--system` uses the one of this machine; that one remembers the driver
 * until it is restarted, and then waits 15 seconds for it in each `docker volume ls`, so it is for who asks for it.
 */
import process from 'node:process';
import { Narrator } from './demo/narrator.ts';
import { privateStage, systemStage } from './demo/stage.ts';
import { names, tellStory } from './demo/story.ts';

const narrator = new Narrator();
const stopped = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    if (!stopped.signal.aborted) narrator.note('\nInterrupted; taking everything away again.');
    stopped.abort(new Error(`interrupted by ${name}`));
  });
}

// The reader went away (`npm run demo | head`): nobody is left to tell it to.
process.stdout.on('error', (error) => stopped.abort(error));

try {
  if (process.getuid?.() !== 0) throw new Error('The demo mounts file systems and runs containers: run it as root.');
  const isSystem = process.argv.includes('--system');
  narrator.title('docker-volume-vmdk: the life of one volume');
  const started = performance.now();
  await using stage = isSystem ? await systemStage(names) : await privateStage();
  narrator.note(
    `It plays on ${stage.description}; ready after ${((performance.now() - started) / 1000).toFixed(1)} s.`,
  );
  stopped.signal.throwIfAborted();
  await tellStory(stage, narrator, stopped.signal).catch(async (error: unknown) => {
    if (!stopped.signal.aborted) narrator.note(`\nThe plugin's log ends with:\n${await stage.pluginLog()}`);
    throw error;
  });
  narrator.title('That was all. Everything is taken away again.');
  if (isSystem) narrator.note('Your dockerd remembers the driver: restart it when `docker volume ls` seems slow.');
} catch (error) {
  if (!stopped.signal.aborted) narrator.failure(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
