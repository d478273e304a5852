/**
 * What a service does while its file operations are recorded. Invariant: between two marks the service does one thing,
 * whose answer is there at the second mark; the same thing again, as `repeat`, is possible after any of its outcomes.
 */
import { randomUUID } from 'node:crypto';
import { link, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { DurableFolder } from '../../common/durable-file.ts';
import type { Diskformat } from '../../common/volume-options.ts';
import type { Datastore } from '../../esx-service/ports/datastore.ts';
import { changed, type Commands } from '../esx-service/support/commands.ts';
import { fileOf, fill, mebibyte, volumesOf } from '../esx-service/support/place.ts';

export interface World {
  /** The datastore's folder. */
  readonly folder: string;
  /** A new service on it; the one before has ended. */
  start(wrap?: (datastore: Datastore) => Datastore): Promise<Commands>;
  /** From here on a power cut may come; at later marks, what was done is answered. */
  mark(): void;
}

export interface Scenario {
  readonly perform: (world: World) => Promise<void>;
  /** @param commands a service that was started after the power cut, when nothing is attached */
  readonly repeat: (commands: Commands) => Promise<unknown>;
  /** A file system that shares blocks between files. */
  readonly sharesBlocks?: boolean;
  /** The datastore's folder, where it is not simply called `local`. */
  readonly datastore?: string;
  /** The volume whose disk may be attached to a VM that survived the cut. */
  readonly attachable?: string;
}

export function datastoreIn(folder: string, { datastore = 'local' }: Pick<Scenario, 'datastore'>): string {
  return join(folder, datastore);
}

const small = { sizeBytes: mebibyte, fstype: 'ext4' } as const;

/** The bystander; also what clones are made of: a formatted disk with data in two places. */
async function withBystander(world: World): Promise<Commands> {
  const commands = await world.start();
  await commands.create('keep', small);
  await commands.attach('keep');
  await fill(fileOf(world.folder, 'keep-flat.vmdk'), 4096, Buffer.alloc(4096, 'kept '));
  await fill(fileOf(world.folder, 'keep-flat.vmdk'), mebibyte / 2, Buffer.alloc(512, 'kept too '));
  await commands.detach('keep', { isFormatted: true });
  return commands;
}

/** A volume that was used. */
async function withUsed(commands: Commands, world: World, name: string): Promise<void> {
  await commands.create(name, small);
  await commands.attach(name);
  await fill(fileOf(world.folder, `${name}-flat.vmdk`), 8192, Buffer.alloc(4096, 'used '));
  await commands.detach(name, { isFormatted: true });
}

/** One change, beside the bystander. @param prepare what is there already when the power may be cut */
function changing(
  act: (commands: Commands) => Promise<unknown>,
  prepare?: (commands: Commands, world: World) => Promise<unknown>,
): Scenario {
  return {
    async perform(world) {
      const commands = await withBystander(world);
      await prepare?.(commands, world);
      world.mark();
      await act(commands);
      world.mark();
    },
    repeat: act,
  };
}

function creating(diskformat: Diskformat): Scenario {
  return changing((commands) => commands.create('db', { ...small, diskformat }));
}

function cloning(diskformat: Diskformat, sharesBlocks: boolean): Scenario {
  return { ...changing((commands) => commands.clone('db', 'keep', { diskformat })), sharesBlocks };
}

const detach = (commands: Commands): Promise<unknown> => commands.detach('db', { isFormatted: true });

const detaching: Scenario = {
  ...changing(detach, async (commands) => {
    await commands.create('db', small);
    await commands.attach('db');
  }),
  async repeat(commands) {
    await commands.attach('db');
    await detach(commands);
  },
  attachable: 'db',
};

const removing: Scenario = {
  ...changing(
    (commands) => commands.remove('db'),
    (commands, world) => withUsed(commands, world, 'db'),
  ),
  attachable: 'db',
};

/** The new volume takes the name while the old one's files may still be there. */
const replacing: Scenario = {
  async perform(world) {
    const commands = await withBystander(world);
    await withUsed(commands, world, 'db');
    world.mark();
    await commands.remove('db');
    world.mark();
    await commands.create('db', { ...small, diskformat: 'eagerzeroedthick' });
    world.mark();
  },
  async repeat(commands) {
    await commands.remove('db');
    await commands.create('db', { ...small, diskformat: 'eagerzeroedthick' });
  },
};

/** A create and a removal that a crash cut short, and a create whose last clean-up it did. */
const sweeping: Scenario = {
  async perform(world) {
    const commands = await withBystander(world);
    for (const name of ['half', 'gone', 'whole']) await withUsed(commands, world, name);
    await commands.end();
    const file = (name: string): string => fileOf(world.folder, name);
    const aside = (): string => file(`.${randomUUID()}.tmp`);
    await rename(file('half.vmdk'), aside());
    for (const name of ['half-flat.vmdk', 'half.vmdk.json']) await link(file(name), aside());
    await rename(file('gone.vmdk'), file('gone.vmdk.removed'));
    for (const name of ['whole.vmdk', 'whole-flat.vmdk']) await link(file(name), aside());
    await using volumes = await DurableFolder.open(volumesOf(world.folder));
    await volumes.sync();
    world.mark();
    await world.start();
    world.mark();
  },
  repeat: () => Promise.resolve(),
};

const firstStart: Scenario = {
  async perform(world) {
    world.mark();
    const commands = await world.start();
    world.mark();
    await commands.create('db', small);
    world.mark();
  },
  repeat: (commands) => commands.create('db', small),
};

/** It is stopped when all its bytes are written; what it made is taken back. */
const givingUp: Scenario = {
  async perform(world) {
    const bystander = await withBystander(world);
    await bystander.end();
    const stop = new AbortController();
    const commands = await world.start((datastore) =>
      changed(datastore, {
        create: (disk, signal) =>
          datastore.create({ ...disk, onProgress: () => stop.abort(new Error('given up')) }, signal),
      }),
    );
    world.mark();
    const options = { ...small, diskformat: 'eagerzeroedthick' } as const;
    await commands.create('db', options, { signal: stop.signal }).catch(() => undefined);
    world.mark();
  },
  repeat: () => Promise.resolve(),
};

export const scenarios = {
  'the first start and create': firstStart,
  'the first start and create below folders that are missing': { ...firstStart, datastore: 'new/deep/local' },
  'a create that is given up': givingUp,
  'create of a thin disk': creating('thin'),
  'create of a thick disk': creating('zeroedthick'),
  'create of an eager-zeroed thick disk': creating('eagerzeroedthick'),
  'clone to a thin disk': cloning('thin', false),
  'clone that shares blocks': cloning('thin', true),
  'clone to an eager-zeroed thick disk': cloning('eagerzeroedthick', false),
  'detach that reports "formatted"': detaching,
  remove: removing,
  'remove and create of the same name': replacing,
  'a start with its sweep': sweeping,
} as const satisfies Readonly<Record<string, Scenario>>;

export type ScenarioName = keyof typeof scenarios;
