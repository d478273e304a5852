/** Where the model and reality part, one sentence each. Pure: no I/O. */
import { join } from 'node:path';
import { idsOf, type Model, type ModelVolume } from './model.ts';
import { listedNameOf } from './reads.ts';
import { dockvols, type Reality } from './reality.ts';
import { datastores } from './roster.ts';

export interface Difference {
  readonly volume: string | undefined;
  readonly text: string;
}

export interface Compared {
  readonly model: Model;
  /** The plugin's. */
  readonly life: number;
  readonly reality: Reality;
  readonly folder: string;
  readonly mountRoot: string;
}

export function differences(compared: Compared): readonly Difference[] {
  return [
    ...ofReferences(compared),
    ...ofVolumes(compared),
    ...ofKernel(compared),
    ...ofFiles(compared),
    ...ofCalm(compared),
  ];
}

function ofReferences({ model, reality }: Compared): readonly Difference[] {
  const told = new Map(reality.health.mounted.map(({ volume, references }) => [volume, references.toSorted()]));
  return [...ofIds('the plugin tells', told, model), ...ofIds('the log of the plugin has', reality.recorded, model)];
}

function ofIds(who: string, found: ReadonlyMap<string, readonly string[]>, model: Model): readonly Difference[] {
  const right = new Map(model.mounted.map((volume) => [volume.id.full, idsOf(volume)]));
  return [...new Set([...found.keys(), ...right.keys()])]
    .filter((full) => String(found.get(full)) !== String(right.get(full)))
    .map((full) => ({
      volume: full,
      text: `${who} the references [${shorten(found.get(full))}] to ${full}, right are [${shorten(right.get(full))}]`,
    }));
}

/** What service, plugin and model know of what is there. Nobody decided about unknown ones: there the service does. */
function ofVolumes({ life, model, reality }: Compared): readonly Difference[] {
  const right = model.volumes
    .values()
    .filter((volume) => isThere(volume, reality))
    .toArray();
  const volumes = sets(
    'the service',
    'volume',
    reality.volumes.keys(),
    right.map(({ id }) => id.full),
  );
  const certain = right.filter(({ id }) => id.role !== 'contended').map(listedNameOf);
  const listed = reality.listed.filter((name) => !name.startsWith('contended'));
  const attached = [...reality.volumes].filter(([, { attached: to }]) => to !== undefined).map(([full]) => full);
  const known = right.flatMap((volume) => ofRecord(volume, reality, life));
  return [
    ...volumes,
    ...sets('the list of the plugin', '', listed, certain),
    ...sets(
      'the service',
      'attached volume',
      attached,
      model.mounted.map(({ id }) => id.full),
    ),
    ...known,
  ];
}

function ofRecord(volume: ModelVolume, { volumes, metadata }: Reality, life: number): readonly Difference[] {
  const { full, role } = volume.id;
  const [record, meta] = [volumes.get(full), metadata.get(full)];
  const tell = (what: string, found: unknown, right: unknown): readonly Difference[] =>
    found === right ? [] : [{ volume: full, text: `${full}: ${what} is ${String(found)}, right is ${String(right)}` }];
  if (role === 'contended') return tell('its problem', record?.problem, undefined);
  const wasLetGo = volume.letGoIn === life && volume.references.length === 0;
  const mustBeReady = wasLetGo || volume.isKnownReady;
  return [
    ...tell('its problem', record?.problem, undefined),
    ...tell('its source', record?.cloneFrom, volume.clonedFrom),
    ...tell('its source in the metadata', meta?.cloneFrom, volume.clonedFrom),
    ...tell('its file system in the metadata', meta?.fstype, volume.fstype),
    ...tell('its access in the metadata', meta?.access, volume.options['access'] ?? 'read-write'),
    ...(mustBeReady ? tell('formatted in the metadata', meta?.isFormatted, true) : []),
    ...(mustBeReady ? tell('fresh in the metadata', meta?.isFreshClone, false) : []),
  ];
}

function ofKernel({ model, reality, folder, mountRoot }: Compared): readonly Difference[] {
  const points = model.mounted.map(({ id }) => join(mountRoot, id.datastore, id.name));
  const disks = model.mounted.map(({ id }) => join(dockvols(folder, id.datastore), `${id.name}-flat.vmdk`));
  return [
    ...sets('the mount table', 'mount', reality.mountPoints, points),
    ...sets('the mount root', 'folder', reality.mountFolders, points),
    ...sets('the kernel', 'loop device', reality.backingFiles, disks),
  ];
}

function ofFiles({ model, reality }: Compared): readonly Difference[] {
  return datastores.flatMap((datastore) => {
    const there = model.volumes.values().filter((one) => one.id.datastore === datastore && isThere(one, reality));
    const right = there.flatMap(({ id: { name } }) => [`${name}.vmdk`, `${name}-flat.vmdk`, `${name}.vmdk.json`]);
    return sets(`datastore ${datastore}`, 'file', reality.files.get(datastore) ?? [], right);
  });
}

function ofCalm({ reality }: Compared): readonly Difference[] {
  const { health, status } = reality;
  const tell = (what: string, found: readonly unknown[]): readonly Difference[] =>
    found.length === 0 ? [] : [{ volume: undefined, text: `${what}: ${JSON.stringify(found)}` }];
  return [
    ...tell('the plugin has no connection', health.host.isConnected ? [] : [health.host]),
    ...tell('the plugin tells problems', health.problems),
    ...tell('the service tells problems', status.problems),
    ...tell('the plugin keeps in its state folder', reality.surplusState),
    ...tell('the plugin holds locks', health.locks),
    ...tell('the service holds locks', status.locks),
  ];
}

function isThere({ id, presence }: ModelVolume, { volumes }: Reality): boolean {
  return presence === 'unknown' ? volumes.has(id.full) : presence === 'there';
}

/** As multisets: twice is not once. */
function sets(who: string, what: string, found: Iterable<string>, right: Iterable<string>): readonly Difference[] {
  const missing = [...right];
  const surplus = [...found].filter((text) => {
    const place = missing.indexOf(text);
    if (place !== -1) missing.splice(place, 1);
    return place === -1;
  });
  return [
    ...surplus.map((text) => ({ volume: volumeIn(text), text: `${who} has the ${what} ${text}, which should not be` })),
    ...missing.map((text) => ({ volume: volumeIn(text), text: `${who} lacks the ${what} ${text}` })),
  ];
}

/** The full name, as far as a path or name shows it. */
function volumeIn(text: string): string | undefined {
  const inPath = /\/(fast|big)\/(?:dockvols\/_DEFAULT\/)?([^/]+?)(?:-flat\.vmdk|\.vmdk|\.vmdk\.json)?$/.exec(text);
  if (inPath) return `${inPath[2] ?? ''}@${inPath[1] ?? ''}`;
  return text.includes('@') ? text : undefined;
}

function shorten(ids: readonly string[] | undefined): string {
  return (ids ?? []).map((id) => id.slice(0, 8)).join(', ');
}
