/**
 * The volumes of a bed, and their data. Two are bystanders: `held` is mounted and has a file open all the time, as a
 * container's would be; `resting` is not mounted. What was written to any of them must be there after whatever crash.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Answer } from '../soak/plugin-door.ts';
import type { CrashBed } from './bed.ts';

export type Fstype = 'ext4' | 'xfs' | 'btrfs';

const sizes: Readonly<Record<Fstype, string>> = { ext4: '20mb', xfs: '300mb', btrfs: '120mb' };
const holder = 'the-holder';
const dataBytes = 300_000;

export function createOptions(fstype: Fstype): Readonly<Record<string, string>> {
  return { size: sizes[fstype], fstype };
}

/** @throws Error with the answer, when it is not a success */
export async function must(bed: CrashBed, verb: string, body: Readonly<Record<string, unknown>>): Promise<void> {
  const answer = await bed.ask(verb, body);
  if (answer.kind !== 'ok') throw new Error(`${verb} ${JSON.stringify(body)} was answered ${shown(answer)}`);
}

function shown(answer: Answer): string {
  return answer.kind === 'refused' ? `"${answer.sentence}"` : answer.kind;
}

/** Of a volume that is mounted now. */
export async function writeData(bed: CrashBed, volume: string): Promise<void> {
  const text = dataOf(volume);
  const file = await open(dataPath(bed, volume), 'w');
  await file.writeFile(text);
  await file.sync();
  await file.close();
}

/** @throws Error when it is not what was written, to it or to the volume it is a clone of */
export async function checkData(bed: CrashBed, volume: string, writtenTo = volume): Promise<void> {
  const text = await readFile(dataPath(bed, volume), 'utf8');
  if (text !== dataOf(writtenTo)) throw new Error(`the data of volume ${volume} is not what was written`);
}

function dataOf(volume: string): string {
  return createHash('sha512')
    .update(volume)
    .digest('hex')
    .repeat(Math.ceil(dataBytes / 128));
}

function dataPath(bed: CrashBed, volume: string): string {
  return bed.inside(join(bed.places.mountRoot, 'local', volume, 'data'));
}

/** Makes a volume with data in it; it is not mounted afterwards. */
export async function makeWithData(bed: CrashBed, volume: string, fstype: Fstype): Promise<void> {
  await must(bed, 'Create', { Name: volume, Opts: createOptions(fstype) });
  await must(bed, 'Mount', { Name: volume, ID: 'writer' });
  await writeData(bed, volume);
  await must(bed, 'Unmount', { Name: volume, ID: 'writer' });
}

export class Bystanders implements AsyncDisposable {
  readonly #bed: CrashBed;
  readonly #open: FileHandle;
  #written = '';

  private constructor(bed: CrashBed, file: FileHandle) {
    this.#bed = bed;
    this.#open = file;
  }

  static async make(bed: CrashBed): Promise<Bystanders> {
    await makeWithData(bed, 'resting', 'ext4');
    await makeWithData(bed, 'held', 'ext4');
    await must(bed, 'Mount', { Name: 'held', ID: holder });
    return new Bystanders(bed, await open(dataPath(bed, 'held').replace(/data$/, 'log'), 'a+'));
  }

  /** Its container goes on writing throughout. */
  async goOn(): Promise<void> {
    const line = `${String(this.#written.length)}\n`;
    await this.#open.write(line);
    await this.#open.sync();
    this.#written += line;
  }

  /** Looks at all data; `resting` is mounted for it. */
  async check(): Promise<void> {
    const bed = this.#bed;
    await this.goOn();
    await checkData(bed, 'held');
    const log = await readFile(dataPath(bed, 'held').replace(/data$/, 'log'), 'utf8');
    if (log !== this.#written) throw new Error('what was written to the held volume meanwhile is not there');
    await must(bed, 'Mount', { Name: 'resting', ID: 'reader' });
    await checkData(bed, 'resting');
    await must(bed, 'Unmount', { Name: 'resting', ID: 'reader' });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open.close();
  }
}
