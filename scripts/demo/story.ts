/** The life of one volume, step by step. Each step must go as told, else the demo fails. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandResult, runCommand } from '../command.ts';
import { images } from '../../test/docker/harness/images.ts';
import { asTyped, type Narrator } from './narrator.ts';
import type { Stage } from './stage.ts';

export const names = { volume: 'vmdk-demo', containers: ['vmdk-demo-writer', 'vmdk-demo-reader'] } as const;

export async function tellStory(stage: Stage, narrator: Narrator, signal: AbortSignal): Promise<void> {
  const { volume, containers } = names;
  const [writer, reader] = containers;
  const start = (name: string): readonly string[] => [
    ...['run', '--detach', '--network', 'none', '--name', name],
    ...['--volume', `${volume}:/data`, images.plain, 'sleep', '600'],
  ];
  const docker = (args: readonly string[], remark: string): Promise<CommandResult> =>
    act(['docker', ...args], () => stage.docker(args, signal), remark, narrator);

  narrator.chapter('A volume is a disk on the datastore');
  await docker(
    ['volume', 'create', '--driver', 'vmdk', '--opt', 'size=200mb', volume],
    'The service made the disk. Nothing is attached to this machine, and nothing is formatted yet.',
  );
  await docker(['volume', 'inspect', volume], 'Docker asked the plugin, which answered from memory.');

  narrator.chapter('The first container brings the disk to this machine');
  await docker(start(writer), 'The disk was attached, formatted once, mounted, and the container started on it.');
  await docker(['exec', writer, 'sh', '-c', 'echo hello from the first container > /data/note'], 'It wrote a file.');

  narrator.chapter('A second container shares it');
  await docker(start(reader), 'Mounted already, so only the references were counted up: no word to the service.');
  await docker(['exec', reader, 'cat', '/data/note'], 'It reads what the first one wrote, while that one still runs.');
  await docker(
    ['volume', 'inspect', '--format', '{{json .Status}}', volume],
    'Two references: the disk stays until the last container has gone.',
  );
  await docker(['volume', 'ls', '--filter', 'driver=vmdk'], 'The list comes from memory, too.');

  narrator.chapter('What the datastore holds');
  const disk = await findDisk(stage.datastore);
  await act(
    ['qemu-img', 'info', disk],
    () => runCommand(['qemu-img', 'info', '--force-share', disk], { signal }),
    'An ordinary VMDK: any hypervisor that reads the format can use it.',
    narrator,
  );

  narrator.chapter('A volume in use cannot be removed');
  await docker(['rm', '--force', reader], 'One reference less; the other container goes on.');
  const remove = ['volume', 'rm', volume];
  await act(
    ['docker', ...remove],
    () => stage.docker(remove, signal),
    'Refused, since a container still uses it.',
    narrator,
    'refused',
  );

  narrator.chapter('The end of the volume');
  await docker(['rm', '--force', writer], 'The last reference went: unmounted, and detached from this machine.');
  await docker(remove, 'The disk is gone from the datastore.');
  const left = (await readdir(stage.datastore, { recursive: true })).filter((name) => name.endsWith('.vmdk'));
  if (left.length > 0) throw new Error(`The datastore still holds ${left.join(', ')}.`);
}

async function act(
  command: readonly string[],
  run: () => Promise<CommandResult>,
  remark: string,
  narrator: Narrator,
  expected: 'done' | 'refused' = 'done',
): Promise<CommandResult> {
  narrator.command(asTyped(command));
  const started = performance.now();
  const result = await run();
  const ms = performance.now() - started;
  narrator.output(result);
  const actual = result.code === 0 ? 'done' : 'refused';
  if (actual !== expected)
    throw new Error(`This should have been ${expected}, and was ${actual} (code ${result.code}).`);
  narrator.remark(remark, ms);
  return result;
}

/** The descriptor: what a user would point a tool at. The extent beside it holds the data. */
async function findDisk(datastore: string): Promise<string> {
  const files = await readdir(datastore, { recursive: true });
  const disk = files.find((name) => name.endsWith('.vmdk') && !name.endsWith('-flat.vmdk'));
  if (disk === undefined) throw new Error(`There is no VMDK below ${datastore}.`);
  return join(datastore, disk);
}
