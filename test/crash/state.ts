/**
 * What is, as everybody sees it: Docker by the plugin's protocol, the administrator by the service's, the kernel, and
 * the folders. `flawsOf` says in what they disagree, and what should not be there at all.
 */
import { readdir, readFile } from 'node:fs/promises';
import * as z from 'zod';
import { getJson } from '../soak/get-json.ts';
import type { CrashBed } from './bed.ts';

const locks = z.array(z.unknown());
const healthSchema = z.object({
  status: z.string(),
  mounted: z.array(z.object({ volume: z.string(), references: z.array(z.string()) })),
  problems: z.array(z.unknown()),
  locks,
});
const statusSchema = z.object({ problems: z.array(z.unknown()), leftovers: z.array(z.string()), locks });
const volumesSchema = z.object({
  volumes: z.array(z.object({ name: z.string(), attached: z.unknown().optional(), problem: z.string().optional() })),
});
const listSchema = z.object({ Volumes: z.array(z.object({ Name: z.string() })) });

/** Volumes are named without their datastore, of which there is one. */
export interface State {
  readonly health: z.infer<typeof healthSchema>;
  readonly status: z.infer<typeof statusSchema>;
  /** What Docker is told: the list, and each volume of it that is found by its name. */
  readonly listed: readonly string[];
  readonly found: readonly string[];
  readonly volumes: readonly string[];
  readonly attached: readonly string[];
  readonly problems: readonly string[];
  /** Files behind loop devices, and points of mounts, relative to where they should be; whole paths elsewhere. */
  readonly loops: readonly string[];
  readonly mounts: readonly string[];
  readonly files: readonly string[];
  /** Files that are no volume's, in all other folders of the programs. */
  readonly otherFiles: readonly string[];
}

export async function observe(bed: CrashBed): Promise<State> {
  const { adminSocket, dockerSocket, disks, mountRoot, folder } = bed.places;
  const health = healthSchema.parse(await getJson(dockerSocket, '/health'));
  const status = statusSchema.parse(await getJson(adminSocket, '/v1/status'));
  const { volumes } = volumesSchema.parse(await getJson(adminSocket, '/v1/volumes'));
  const answer = await bed.ask('List', {});
  if (answer.kind !== 'ok') throw new Error(`List was answered ${JSON.stringify(answer)}`);
  const listed = listSchema.parse(answer.body).Volumes.map(({ Name }) => Name);
  const found = [];
  for (const name of listed) if ((await bed.ask('Get', { Name: name })).kind === 'ok') found.push(name);
  const points = (await bed.mounts()).map((line) => line.split(' ')[4] ?? '');
  return {
    health,
    status,
    listed: listed.toSorted(),
    found: found.toSorted(),
    volumes: volumes.map(({ name }) => name).toSorted(),
    attached: volumes.flatMap(({ name, attached }) => (attached === undefined ? [] : [name])).toSorted(),
    problems: volumes.flatMap(({ name, problem }) => (problem === undefined ? [] : [`${name}: ${problem}`])),
    loops: below(await backingFiles(), folder, disks),
    mounts: below(points, folder, `${mountRoot}/local`).filter((point) => point !== 'run' && !point.endsWith('/run')),
    files: (await readdir(disks)).toSorted(),
    otherFiles: await otherFiles(bed),
  };
}

export function isMounted({ health }: State, name: string, id?: string): boolean {
  const found = health.mounted.find(({ volume }) => volume === `${name}@local`);
  return found !== undefined && (id === undefined || found.references.includes(id));
}

/** Empty when all is in step and nothing is left over. */
export function flawsOf(state: State): readonly string[] {
  const { health, status, listed, found, volumes, attached, problems, loops, mounts, files, otherFiles } = state;
  const flaws: string[] = [];
  const same = (one: readonly string[], other: readonly string[], what: string): void => {
    if (one.join() !== other.join()) flaws.push(`${what}: [${one.join(', ')}], not [${other.join(', ')}]`);
  };
  const none = (things: readonly unknown[], what: string): void => {
    if (things.length > 0) flaws.push(`${what}: ${JSON.stringify(things)}`);
  };
  if (health.status !== 'ok') flaws.push(`the plugin's health is ${health.status}`);
  none(health.problems, "the plugin's problems");
  none([...status.problems, ...problems], "the service's problems");
  none(status.leftovers, 'leftovers');
  none([...health.locks, ...status.locks], 'locks');
  same(listed, volumes, 'List, against the service');
  same(found, volumes, 'Get, against the service');
  const mounted = health.mounted.map(({ volume }) => volume.replace(/@local$/, '')).toSorted();
  same(mounted, attached, 'mounted as the plugin says, against attached as the service says');
  same(mounts, mounted, 'mount points, against what the plugin says');
  const extents = attached.map((name) => `${name}-flat.vmdk`);
  same(loops, extents, 'loop devices, against attached as the service says');
  const filesOfAll = volumes.flatMap((name) => [`${name}-flat.vmdk`, `${name}.vmdk`, `${name}.vmdk.json`]);
  same(files, filesOfAll.toSorted(), 'files in the datastore, against the volumes');
  none(otherFiles, 'files in other folders');
  const unused = health.mounted.filter(({ references }) => references.length === 0);
  none(unused, 'mounted without a reference');
  return flaws;
}

function below(paths: readonly string[], folder: string, usual: string): readonly string[] {
  const ours = paths.filter((path) => path.startsWith(`${folder}/`));
  return ours.map((path) => (path.startsWith(`${usual}/`) ? path.slice(usual.length + 1) : path)).toSorted();
}

async function backingFiles(): Promise<readonly string[]> {
  const devices = (await readdir('/sys/block')).filter((name) => name.startsWith('loop'));
  const files = await Promise.all(
    devices.map((name) => readFile(`/sys/block/${name}/loop/backing_file`, 'utf8').catch(() => '')),
  );
  return files.map((file) => file.trimEnd());
}

/** Beside what is meant to be there: the record of references, the locks, the sockets. */
async function otherFiles({ places, form }: CrashBed): Promise<readonly string[]> {
  const { folder, state, datastore } = places;
  const meant: Readonly<Record<string, readonly string[]>> = {
    [state]:
      form === 'embedded' ? ['lock', 'mnt', 'references.log', 'service.sock'] : ['lock', 'mnt', 'references.log'],
    [`${state}/mnt`]: [],
    [datastore]: ['dockvols'],
    [`${datastore}/dockvols`]: ['.vmdkopsd.lock', '_DEFAULT'],
    [`${folder}/channel`]: ['vm.sock'],
    [`${folder}/docker`]: ['plugin.sock'],
    [`${folder}/admin`]: ['admin.sock'],
  };
  const all = await Promise.all(
    Object.entries(meant).map(async ([path, names]) =>
      (await readdir(path).catch(() => [])).filter((name) => !names.includes(name)).map((name) => `${path}/${name}`),
    ),
  );
  return all.flat().map((path) => path.slice(folder.length + 1));
}
