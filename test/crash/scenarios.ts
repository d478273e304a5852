/**
 * What is under way when a program crashes: one request of Docker about the volume `crash`, what there is before it, and
 * how its effect shows. Every scenario can be told done from undone by the state alone.
 */
import type { CrashBed, SideName } from './bed.ts';
import { isMounted, type State } from './state.ts';
import { createOptions, type Fstype, makeWithData, must, writeData } from './volumes.ts';

export const subject = 'crash';

export interface Scenario {
  readonly name: string;
  readonly sides: readonly SideName[];
  readonly prepare: (bed: CrashBed) => Promise<void>;
  readonly verb: 'Create' | 'Mount' | 'Unmount' | 'Remove';
  readonly body: Readonly<Record<string, unknown>>;
  readonly isDone: (state: State) => boolean;
  /** The volume whose data `crash` has, if any, as long as it is there. */
  readonly dataOf?: string;
  readonly isReadOnly?: boolean;
  /** A volume that `prepare` made beside `crash`. */
  readonly source?: string;
}

const both = ['service', 'plugin'] as const;
const isThere = ({ listed }: State): boolean => listed.includes(subject);
const isGone = (state: State): boolean => !isThere(state);
const nothing = (): Promise<void> => Promise.resolve();

function create(name: string, options: Readonly<Record<string, string>>): Scenario {
  return {
    name,
    sides: both,
    prepare: nothing,
    verb: 'Create',
    body: { Name: subject, Opts: options },
    isDone: isThere,
  };
}

function mounting(name: string, rest: Pick<Scenario, 'prepare'> & Partial<Scenario>): Scenario {
  return {
    name,
    sides: ['plugin'],
    verb: 'Mount',
    body: { Name: subject, ID: 'one' },
    isDone: (state) => isMounted(state, subject, 'one'),
    ...rest,
  };
}

function firstMount(fstype: Fstype, sides: readonly SideName[]): Scenario {
  const prepare = (bed: CrashBed): Promise<void> => must(bed, 'Create', { Name: subject, Opts: createOptions(fstype) });
  return mounting(`first mount, ${fstype}`, { sides, prepare });
}

function mountOfClone(fstype: Fstype, size?: string): Scenario {
  const prepare = async (bed: CrashBed): Promise<void> => {
    await makeWithData(bed, 'source', fstype);
    const options = { 'clone-from': 'source', ...(size !== undefined && { size }) };
    await must(bed, 'Create', { Name: subject, Opts: options });
  };
  const name = `first mount of a ${size === undefined ? '' : 'larger '}clone, ${fstype}`;
  return mounting(name, { prepare, source: 'source', dataOf: 'source' });
}

async function makeMounted(bed: CrashBed, ...ids: readonly string[]): Promise<void> {
  await must(bed, 'Create', { Name: subject, Opts: createOptions('ext4') });
  for (const ID of ids) await must(bed, 'Mount', { Name: subject, ID });
  await writeData(bed, subject);
}

const laterMount = mounting('later mount', {
  sides: both,
  prepare: (bed) => makeWithData(bed, subject, 'ext4'),
  dataOf: subject,
});

/** Mounted writable once, out of Docker's sight, to be formatted; then attached again. */
const readOnlyMount = mounting('first mount, read-only', {
  sides: both,
  prepare: (bed) => must(bed, 'Create', { Name: subject, Opts: { ...createOptions('ext4'), access: 'read-only' } }),
  isReadOnly: true,
});

const furtherMount = mounting('mount of what is mounted', {
  prepare: (bed) => makeMounted(bed, 'other'),
  dataOf: subject,
});

const unmount: Scenario = {
  name: 'first unmount',
  sides: both,
  prepare: (bed) => makeMounted(bed, 'one'),
  verb: 'Unmount',
  body: { Name: subject, ID: 'one' },
  isDone: (state) => !isMounted(state, subject, 'one'),
  dataOf: subject,
};

const laterUnmount: Scenario = {
  ...unmount,
  name: 'later unmount',
  sides: ['service'],
  prepare: async (bed) => {
    await makeWithData(bed, subject, 'ext4');
    await must(bed, 'Mount', { Name: subject, ID: 'one' });
  },
};

const oneOfTwoUnmounts: Scenario = {
  ...unmount,
  name: 'unmount of one of two',
  sides: ['plugin'],
  prepare: (bed) => makeMounted(bed, 'one', 'other'),
};

const remove: Scenario = {
  name: 'remove',
  sides: both,
  prepare: (bed) => makeWithData(bed, subject, 'ext4'),
  verb: 'Remove',
  body: { Name: subject },
  isDone: isGone,
  dataOf: subject,
};

export const scenarios: readonly Scenario[] = [
  create('create, thin', createOptions('ext4')),
  create('create, eager', { size: '3mb', fstype: 'ext2', diskformat: 'eagerzeroedthick' }),
  { ...create('clone', { 'clone-from': 'resting' }), dataOf: 'resting' },
  firstMount('ext4', both),
  firstMount('xfs', ['plugin']),
  firstMount('btrfs', ['plugin']),
  mountOfClone('ext4'),
  mountOfClone('ext4', '40mb'),
  mountOfClone('xfs'),
  mountOfClone('xfs', '400mb'),
  mountOfClone('btrfs'),
  mountOfClone('btrfs', '300mb'),
  readOnlyMount,
  laterMount,
  furtherMount,
  unmount,
  laterUnmount,
  oneOfTwoUnmounts,
  remove,
];
