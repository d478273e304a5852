/**
 * Docker's verbs as data: which fields each reads, what it asks of the driver, and how a success is written. Invariant:
 * a verb returns JSON text that dockerd can use as it is; every failure leaves here as a Fault, and what became of it
 * is for the door to say.
 */
import { Fault, type FaultCode } from '../../common/fault.ts';
import type { Logger } from '../../common/logging.ts';
import type { DockerVolume } from '../core/docker-volume.ts';
import type { VolumeDriver } from '../ports/driver.ts';
import { BadRequest } from './request-body.ts';

/** The fields of all verbs; those that a verb does not read are empty. */
export interface Fields {
  readonly name: string;
  readonly id: string;
  readonly options: Readonly<Record<string, string>>;
}

interface AnyVerb {
  /** As in logs and metrics. */
  readonly name: string;
  readonly path: string;
  readonly reads: readonly ('Name' | 'ID' | 'Opts')[];
  /** The failures that may be answered; any other is answered by silence. Absent: all may. */
  readonly answerable?: readonly FaultCode[];
}

/** Answered from memory, at once. */
export interface ReadVerb extends AnyVerb {
  readonly kind: 'read';
  run(driver: VolumeDriver, fields: Fields): string | Buffer;
}

export interface ChangeVerb extends AnyVerb {
  readonly kind: 'change';
  run(driver: VolumeDriver, fields: Fields, caller: AbortSignal): Promise<string>;
  /** Takes back a success that its caller never learnt of. */
  takeBack?(driver: VolumeDriver, fields: Fields, signal: AbortSignal): Promise<void>;
}

export type Verb = ReadVerb | ChangeVerb;

const done = '{"Err":""}';
const implemented = '{"Implements":["VolumeDriver"]}';
/** Whether other machines see the same volumes; dockerd shows it, and nothing more. */
export type Scope = 'local' | 'global';

/** In the order of how often dockerd asks: the router tries them one after another. */
export function dockerVerbs(logger: Logger, scope: Scope): readonly Verb[] {
  const capabilities = JSON.stringify({ Capabilities: { Scope: scope } });
  return [
    {
      kind: 'read',
      name: 'Get',
      path: '/VolumeDriver.Get',
      reads: ['Name'],
      run: (driver, { name }) => `{"Volume":${JSON.stringify(shown(driver.get(name), name, logger))},"Err":""}`,
      // dockerd takes any other answer for "no such volume" and erases its record, with the guard of volumes in use.
      answerable: ['VolumeNotFound', 'DatastoreNotFound', 'InvalidName', 'InvalidRequest'],
    },
    {
      kind: 'read',
      name: 'Path',
      path: '/VolumeDriver.Path',
      reads: ['Name'],
      run: (driver, { name }) => `{"Mountpoint":${JSON.stringify(driver.path(name))},"Err":""}`,
    },
    { kind: 'change', name: 'Activate', path: '/Plugin.Activate', reads: [], run: activate },
    { kind: 'read', name: 'Capabilities', path: '/VolumeDriver.Capabilities', reads: [], run: () => capabilities },
    { kind: 'read', name: 'List', path: '/VolumeDriver.List', reads: [], run: encodedOnce((driver) => driver.list()) },
    {
      kind: 'change',
      name: 'Create',
      path: '/VolumeDriver.Create',
      reads: ['Name', 'Opts'],
      run: (driver, { name, options }, caller) => driver.create(name, options, caller).then(() => done),
    },
    {
      kind: 'change',
      name: 'Remove',
      path: '/VolumeDriver.Remove',
      reads: ['Name'],
      run: (driver, { name }, caller) => driver.remove(name, caller).then(() => done),
    },
    {
      kind: 'change',
      name: 'Mount',
      path: '/VolumeDriver.Mount',
      reads: ['Name', 'ID'],
      run: mount,
      takeBack: unmount,
    },
    {
      kind: 'change',
      name: 'Unmount',
      path: '/VolumeDriver.Unmount',
      reads: ['Name', 'ID'],
      run: (driver, fields, caller) => unmount(driver, fields, caller).then(() => done),
    },
  ];
}

/** A list of a thousand volumes takes longer to encode than all the rest of its answer, and is the same for long. */
function encodedOnce(read: (driver: VolumeDriver) => string): (driver: VolumeDriver) => Buffer {
  let last = '';
  let encoded = Buffer.alloc(0);
  return (driver) => {
    const text = read(driver);
    if (text !== last) [last, encoded] = [text, Buffer.from(text)];
    return encoded;
  };
}

/** The handshake comes once from each start of dockerd, so it tells of a start. */
function activate(driver: VolumeDriver): Promise<string> {
  driver.activated();
  return Promise.resolve(implemented);
}

/** @throws BadRequest naming the field that is missing or of another type */
export function fieldsOf(verb: Verb, body: Readonly<Record<string, unknown>>): Fields {
  return {
    name: verb.reads.includes('Name') ? text('Name', body) : '',
    id: verb.reads.includes('ID') ? mountId(body) : '',
    options: verb.reads.includes('Opts') ? options(body['Opts']) : {},
  };
}

/** Docker would mount its own runtime folder into the container for an answer without a path. */
async function mount(driver: VolumeDriver, fields: Fields, caller: AbortSignal): Promise<string> {
  const path = await driver.mount(fields.name, fields.id, caller);
  if (path.startsWith('/')) return `{"Mountpoint":${JSON.stringify(path)},"Err":""}`;
  await driver.unmount(fields.name, fields.id, caller);
  throw new Fault(
    'Internal',
    `volume ${fields.name} was mounted at ${JSON.stringify(path)}, which is not an absolute path`,
  );
}

function unmount(driver: VolumeDriver, { name, id }: Fields, signal: AbortSignal): Promise<void> {
  return driver.unmount(name, id, signal);
}

/**
 * A name other than the one asked for would switch off dockerd's guard of volumes in use; a date that dockerd cannot
 * read would make it believe that the volume is gone, so such a date is left out.
 */
function shown(volume: DockerVolume, asked: string, logger: Logger): Partial<DockerVolume> {
  if (volume.Name !== asked)
    throw new Fault('Internal', `asked for volume ${asked}, the driver told of ${volume.Name}`);
  if (rfc3339.test(volume.CreatedAt)) return volume;
  logger.warn('creation date is not RFC 3339 and is not shown', { volume: asked, date: volume.CreatedAt });
  return { Name: volume.Name, Mountpoint: volume.Mountpoint, Status: volume.Status };
}

const rfc3339 =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

function text(field: 'Name' | 'ID', body: Readonly<Record<string, unknown>>): string {
  const value = body[field];
  if (typeof value === 'string') return value;
  throw new BadRequest(400, `field ${field} must be a string, but ${kindOf(value)}`);
}

/** Two users without an ID would be one. */
function mountId(body: Readonly<Record<string, unknown>>): string {
  const id = text('ID', body);
  if (id !== '') return id;
  throw new BadRequest(400, 'field ID must name the mount, but is empty');
}

function options(value: unknown): Readonly<Record<string, string>> {
  if (value === null || value === undefined) return {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw new BadRequest(400, `field Opts must be an object of strings, but ${kindOf(value)}`);
  }
  for (const [key, option] of Object.entries(value)) {
    if (typeof option !== 'string') {
      throw new BadRequest(
        400,
        `field Opts must be an object of strings, but its ${JSON.stringify(key)} ${kindOf(option)}`,
      );
    }
  }
  return value as Record<string, string>;
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'is missing';
  if (value === null) return 'is null';
  return Array.isArray(value) ? 'is an array' : `is of type ${typeof value}`;
}
