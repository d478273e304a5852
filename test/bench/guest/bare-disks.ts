/**
 * What a hypervisor and its guest's kernel take for a disk by themselves: disks plugged in and pulled out over QMP, as the
 * product does it, while nothing of the product runs in the guest. Invariant: after each round QEMU has none of them.
 */
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { QmpConnection } from '../../../esx-service/adapters/qmp-connection.ts';
import { DiskNews } from '../../guest/disk-news.ts';
import type { Guest } from '../../guest/guest.ts';
import type { BareTimes } from './figures.ts';

/** On ESXi and in the product nobody's; counted from there on by one more. */
const reservedUnit = 7;

export class BareDisks implements AsyncDisposable {
  readonly #bus: string;
  readonly #files: readonly string[];
  readonly #qmp: QmpConnection;
  readonly #news: DiskNews;
  readonly #signal: AbortSignal;

  private constructor(bus: string, files: readonly string[], qmp: QmpConnection, news: DiskNews, signal: AbortSignal) {
    this.#bus = bus;
    this.#files = files;
    this.#qmp = qmp;
    this.#news = news;
    this.#signal = signal;
  }

  /** @param folder where the disks' files are to be, of the size of the product's */
  static async open(
    guest: Guest,
    { bus, folder, disks, sizeBytes }: { bus: string; folder: string; disks: number; sizeBytes: number },
    signal: AbortSignal,
  ): Promise<BareDisks> {
    const files = Array.from({ length: disks }, (_, place) => join(folder, `bare-${place}`));
    for (const file of files) {
      await writeFile(file, '');
      await truncate(file, sizeBytes);
    }
    await using opened = new AsyncDisposableStack();
    const news = opened.use(await DiskNews.listen(guest));
    const qmp = await QmpConnection.open(guest.monitorSocket, signal);
    if (!qmp) throw new Error('the guest is off');
    opened.move();
    return new BareDisks(bus, files, qmp, news, signal);
  }

  /** The first so many of the disks, all at once. */
  async round(count: number): Promise<BareTimes> {
    const places = this.#files.slice(0, count).keys().toArray();
    const plugged = performance.now();
    const [addReply, added] = await Promise.all([
      Promise.all(places.map((place) => this.#plugIn(place))).then(() => performance.now() - plugged),
      this.#news.until('add', count).then(() => performance.now() - plugged),
    ]);
    const pulled = performance.now();
    const deleted = this.#deletions(count).then(() => performance.now() - pulled);
    const [deleteReply, removed] = await Promise.all([
      Promise.all(places.map((place) => this.#ask('device_del', { id: nameOf(place) }))).then(
        () => performance.now() - pulled,
      ),
      this.#news.until('remove', count).then(() => performance.now() - pulled),
    ]);
    const times = { addReply, added, deleteReply, removed, deleted: await deleted };
    for (const place of places) await this.#ask('blockdev-del', { 'node-name': nameOf(place) });
    return times;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#qmp[Symbol.dispose]();
    await this.#news[Symbol.asyncDispose]();
  }

  async #plugIn(place: number): Promise<void> {
    const name = nameOf(place);
    const file = { driver: 'file', filename: this.#files[place] };
    await this.#ask('blockdev-add', { 'node-name': name, driver: 'raw', file });
    const unit = place < reservedUnit ? place : place + 1;
    await this.#ask('device_add', {
      driver: 'scsi-hd',
      id: name,
      drive: name,
      bus: this.#bus,
      'scsi-id': unit,
      lun: 0,
    });
  }

  async #deletions(count: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    let seen = 0;
    using _subscription = this.#qmp.onEvent(({ name, data }) => {
      if (name === 'DEVICE_DELETED' && data['device'] !== undefined && ++seen === count) resolve(undefined);
    });
    await promise;
  }

  async #ask(command: string, args: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#qmp.ask(command, args, this.#signal);
  }
}

function nameOf(place: number): string {
  return `bare-${place}`;
}
