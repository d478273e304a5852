/**
 * What a run left on the machine: mounts, loop devices, processes and files. Invariant: something that was there
 * before, or that belongs to another run of these tests, is never named. The run marks its processes with an
 * environment variable and keeps its files in one folder; both tell them from everything else.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { processTree } from '../../test/docker/harness/processes.ts';

/** The environment variable that all processes of a run inherit, with the run's folder as its value. */
export const runMark = 'TEST_RUN_OF_DOCKER_VOLUME_VMDK';
/** How the folders of all runs begin. */
export const runFolderPrefix = 'vmdk-test-';

export interface MachineState {
  /** "mount point (type source)", once per mount of ours and not of the system's first process. */
  readonly mounts: ReadonlySet<string>;
  /** "device of backing file" */
  readonly loops: ReadonlySet<string>;
  readonly files: ReadonlySet<string>;
}

/** Where something that ignores TMPDIR, or our own flags, would put its files; and which names there could be ours. */
const watched = [
  { folder: '/tmp', names: /vmdk|docker|containerd|runc/ },
  { folder: '/run', names: /vmdk|docker|containerd|runc/ },
  { folder: '/run/docker', names: /./ },
  { folder: '/run/docker/plugins', names: /./ },
  { folder: '/mnt', names: /vmdk/ },
  { folder: '/mnt/vmdk', names: /./ },
  { folder: '/var/lib', names: /vmdk/ },
  { folder: '/etc', names: /vmdk/ },
] as const;

export async function observeMachine(): Promise<MachineState> {
  const [ours, system, loops, files] = await Promise.all([
    mountsOf('self'),
    mountsOf('1'),
    loopDevices(),
    watchedFiles(),
  ]);
  return { mounts: new Set(beyond(ours, system)), loops: new Set(loops), files: new Set(files) };
}

/** What `after` has beyond `before`, except what other runs own. Pure. */
export function leftBehind(before: MachineState, after: MachineState, runFolder: string): readonly string[] {
  const isAnothers = (text: string): boolean => text.includes(`/${runFolderPrefix}`) && !text.includes(runFolder);
  return [
    ...beyond(after.mounts, before.mounts).map((mount) => `mount ${mount}`),
    ...beyond(after.loops, before.loops).map((loop) => `loop device ${loop}`),
    ...beyond(after.files, before.files).map((file) => `file ${file}`),
  ].filter((text) => !isAnothers(text));
}

export interface LeftProcess {
  readonly pid: number;
  readonly command: string;
}

/**
 * Every living process that carries the mark of this run, and all that descend from one: a container's processes have
 * an environment of their own. Children first.
 */
export async function markedProcesses(runFolder: string): Promise<readonly LeftProcess[]> {
  const found = await processTree(async (pid) =>
    (await readText(`/proc/${pid}/environ`)).split('\0').includes(`${runMark}=${runFolder}`),
  );
  return Promise.all(
    found.map(async (pid) => ({ pid, command: (await readText(`/proc/${pid}/cmdline`)).replaceAll('\0', ' ').trim() })),
  );
}

function beyond(after: Iterable<string>, before: Iterable<string>): readonly string[] {
  const known = new Set(before);
  return [...after].filter((text) => !known.has(text));
}

async function mountsOf(process: string): Promise<readonly string[]> {
  const lines = (await readText(`/proc/${process}/mountinfo`)).split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const [, , , , point = '', ...rest] = line.split(' ');
    const [type = '', source = ''] = rest.slice(rest.indexOf('-') + 1);
    return `${point} (${type} ${source})`;
  });
}

async function loopDevices(): Promise<readonly string[]> {
  const devices = (await readdir('/sys/block').catch(() => [])).filter((name) => name.startsWith('loop'));
  const described = await Promise.all(
    devices.map(async (device) => [device, await readText(`/sys/block/${device}/loop/backing_file`)] as const),
  );
  return described.filter(([, file]) => file !== '').map(([device, file]) => `${device} of ${file.trim()}`);
}

async function watchedFiles(): Promise<readonly string[]> {
  const listed = await Promise.all(
    watched.map(async ({ folder, names }) =>
      (await readdir(folder).catch(() => [])).filter((name) => names.test(name)).map((name) => join(folder, name)),
    ),
  );
  return listed.flat();
}

/** Empty when it is not there: devices and processes go away while they are listed. */
async function readText(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
