/** What is, on every side: what the plugin and the service say of themselves, and what the kernel and the disks show. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import type { Surroundings } from './bed.ts';
import { allOf } from '../../plugin/core/references.ts';
import { readJournal } from '../../plugin/adapters/reference-journal.ts';
import { replay } from '../../plugin/service/recovery.ts';
import { getJson } from './get-json.ts';
import { Violation } from './history.ts';
import { datastores } from './roster.ts';
import { datastoreFolder } from './service-program.ts';

const logName = 'references.log';

const locks = z.array(z.unknown()).default([]);
const healthSchema = z.object({
  status: z.string(),
  host: z.object({ isConnected: z.boolean() }),
  mounted: z.array(z.object({ volume: z.string(), path: z.string(), references: z.array(z.string()) })),
  problems: z.array(z.unknown()),
  locks,
});
const volumesSchema = z.object({
  volumes: z.array(
    z.object({
      name: z.string(),
      datastore: z.string(),
      fstype: z.string().optional(),
      cloneFrom: z.string().optional(),
      attached: z.unknown().optional(),
      problem: z.string().optional(),
    }),
  ),
});
const statusSchema = z.object({ problems: z.array(z.unknown()), locks });
const metadataSchema = z.object({
  fstype: z.string().optional(),
  cloneFrom: z.string().optional(),
  access: z.string(),
  isFormatted: z.boolean(),
  isFreshClone: z.boolean(),
});
const listSchema = z.object({ Volumes: z.array(z.object({ Name: z.string() })) });

export type Metadata = z.infer<typeof metadataSchema>;

export interface Reality {
  readonly health: z.infer<typeof healthSchema>;
  readonly status: z.infer<typeof statusSchema>;
  /** By full name. */
  readonly volumes: ReadonlyMap<string, z.infer<typeof volumesSchema>['volumes'][number]>;
  /** Places below the mount root at which something is mounted, once per mount. */
  readonly mountPoints: readonly string[];
  /** The folders that are there to be mounted on: paths as the plugin sees them. */
  readonly mountFolders: readonly string[];
  /** The files behind loop devices below the datastores, once per device. */
  readonly backingFiles: readonly string[];
  /** By datastore. */
  readonly files: ReadonlyMap<string, readonly string[]>;
  /** By full name; a file that cannot be read is left out. */
  readonly metadata: ReadonlyMap<string, Metadata>;
  /** The references that the plugin would take up if it were killed now: sorted IDs by full name. */
  readonly recorded: ReadonlyMap<string, readonly string[]>;
  /** What is in the plugin's state folder besides that log and the lock of the folder. */
  readonly surplusState: readonly string[];
  /** As the plugin lists them. */
  readonly listed: readonly string[];
}

export function dockvols(folder: string, datastore: string): string {
  return join(datastoreFolder(folder, datastore), 'dockvols/_DEFAULT');
}

export async function observe(around: Surroundings, list: () => Promise<unknown>): Promise<Reality> {
  const { folder, adminSocket } = around.places;
  const [health, status, volumes, mounts, backingFiles, listed] = await Promise.all([
    getJson(around.pluginSocket, '/health').then((answer) => healthSchema.parse(answer)),
    getJson(adminSocket, '/v1/status').then((answer) => statusSchema.parse(answer)),
    getJson(adminSocket, '/v1/volumes').then((answer) => volumesSchema.parse(answer).volumes),
    around.mounts(),
    filesBehindLoops(`${folder}/`),
    list().then((answer) => listSchema.parse(answer).Volumes.map(({ Name }) => Name)),
  ]);
  const files = new Map<string, readonly string[]>();
  for (const name of datastores) files.set(name, (await readdir(dockvols(folder, name))).sort());
  const points = mounts.map((line) => unescaped(line.split(' ')[4] ?? ''));
  return {
    health,
    status,
    volumes: new Map(volumes.map((volume) => [`${volume.name}@${volume.datastore}`, volume])),
    mountPoints: points.filter((point) => point.startsWith(`${around.mountRoot}/`)).sort(),
    mountFolders: await foldersBelow(around),
    backingFiles,
    files,
    metadata: await readMetadata(folder, files),
    recorded: await recordedReferences(around.stateFolder),
    surplusState: await surplusOf(around.stateFolder),
    listed,
  };
}

async function foldersBelow({ mountRoot, rootFolder }: Surroundings): Promise<readonly string[]> {
  const namesIn = (path: string): Promise<string[]> => readdir(join(rootFolder, path)).catch(() => []);
  const all = datastores.map(async (name) => {
    const folder = join(mountRoot, name);
    return (await namesIn(folder)).map((volume) => join(folder, volume));
  });
  return (await Promise.all(all)).flat().sort();
}

async function filesBehindLoops(prefix: string): Promise<readonly string[]> {
  const devices = (await readdir('/sys/block')).filter((name) => name.startsWith('loop'));
  const files = await Promise.all(
    devices.map((name) => readFile(`/sys/block/${name}/loop/backing_file`, 'utf8').catch(() => '')),
  );
  return files
    .map((file) => file.trimEnd())
    .filter((file) => file.startsWith(prefix))
    .sort();
}

async function readMetadata(
  folder: string,
  files: ReadonlyMap<string, readonly string[]>,
): Promise<ReadonlyMap<string, Metadata>> {
  const found = new Map<string, Metadata>();
  for (const [datastore, names] of files) {
    for (const file of names.filter((name) => name.endsWith('.vmdk.json'))) {
      const text = await readFile(join(dockvols(folder, datastore), file), 'utf8').catch(() => undefined);
      if (text === undefined) continue;
      found.set(`${file.slice(0, -'.vmdk.json'.length)}@${datastore}`, metadataSchema.parse(JSON.parse(text)));
    }
  }
  return found;
}

async function recordedReferences(folder: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const journal = readJournal(await readFile(join(folder, logName), 'utf8'), bootId);
  if (journal.kind !== 'changes' || journal.damagedLines > 0)
    throw new Violation(undefined, `the log of references is ${JSON.stringify(journal)}`);
  const found = [...replay(journal.changes)].map(([name, references]) => [name, allOf(references).toSorted()] as const);
  return new Map(found.filter(([, ids]) => ids.length > 0));
}

/** A folder for mounts out of Docker's sight may stay, as long as it is empty. */
async function surplusOf(folder: string): Promise<readonly string[]> {
  const left = await readdir(folder, { recursive: true });
  return left.filter((name) => ![logName, 'lock', 'mnt'].includes(name));
}

/** mountinfo writes blanks as \040. */
function unescaped(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}
