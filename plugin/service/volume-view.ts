/**
 * What this guest knows of the volumes that it may use. Invariant: readers never wait and never see a half-read list;
 * the view is replaced whole after a new session was read, and follows each event meanwhile. What the service said
 * last stays readable when the service is gone.
 */
import { Fault } from '../../common/fault.ts';
import { type FullName, fullName, parseAskedName, parseDatastoreName } from '../../common/names.ts';
import type { ChannelEvent, Reply, Volume } from '../../native/channel/contract.ts';
import { listedName } from '../core/docker-volume.ts';
import type { Host } from '../ports/host.ts';

const pageSize = 500;

export class VolumeView {
  #volumes = new Map<string, Volume>();
  /** The map that a new session's pages are read into; events go to both. */
  #loading: Map<string, Volume> | undefined;
  #session: Reply<'hello'> | undefined;
  #trueAt: Date | undefined;
  /** Number of the last event. */
  #sequence = 0;
  #hasMissed = false;
  /** Names whose create or remove was sent but not answered: nobody can say now whether they exist. */
  readonly #doubtful = new Set<string>();
  /** The answer to List, and its rows by full name; each is made again only after a change. */
  #listed: string | undefined;
  readonly #rows = new Map<string, string>();

  /** When the view was last known to be true. */
  get trueAt(): Date | undefined {
    return this.#trueAt;
  }

  /** The service is there; while it is watched, it has told all that happened so far. */
  confirm(): void {
    if (!this.#loading) this.#trueAt = new Date();
  }

  get size(): number {
    return this.#volumes.size;
  }

  /** Reads everything over a new session; from then on `apply` keeps it true. A view that stands serves meanwhile. */
  async load(session: Reply<'hello'>, host: Host, signal: AbortSignal): Promise<void> {
    const loading = new Map<string, Volume>();
    this.#loading = loading;
    while (!(await this.#isReadInto(loading, host, signal))) loading.clear();
    // At the end of a connection its last events may have come before its last page.
    signal.throwIfAborted();
    this.#volumes = loading;
    this.#loading = undefined;
    this.#session = session;
    this.#trueAt = new Date();
    this.#doubtful.clear();
    this.#rows.clear();
    this.#listed = undefined;
  }

  /** @returns false when events before this one were missed, so that the view is to be loaded anew */
  apply(event: ChannelEvent): boolean {
    const key = event.kind === 'changed' ? keyOf(event.volume) : keyOf(event);
    for (const volumes of [this.#volumes, this.#loading]) {
      if (event.kind === 'changed') volumes?.set(key, event.volume);
      else volumes?.delete(key);
    }
    this.#doubtful.delete(key);
    this.forgetRow(key);
    const isNext = event.sequence === this.#sequence + 1;
    this.#sequence = event.sequence;
    if (isNext) return true;
    this.#hasMissed = true;
    // A load that is under way begins again by itself.
    return this.#loading !== undefined;
  }

  /** Full names of the volumes that a VM holds. */
  attachedTo(vmId: string): readonly FullName[] {
    const held = this.#volumes.values().filter(({ attached }) => attached?.vm.id === vmId);
    return held.map((volume) => keyOf(volume) as FullName).toArray();
  }

  /** Whether it is one that this VM holds. */
  isAttachedHere(name: FullName): boolean {
    const { attached } = this.#volumes.get(name) ?? {};
    return attached !== undefined && attached.vm.id === this.#session?.vm.id;
  }

  /**
   * What a reply told, while its event may have come before the watch of a new session stood. What is being read tells
   * it already; a view that was read is told by events, and is never older than a reply.
   */
  note(volume: Volume): void {
    if (!this.#loading) return;
    this.#volumes.set(keyOf(volume), volume);
    this.forgetRow(keyOf(volume));
  }

  /** As `note`, for a volume that is no more. */
  noteRemoval(key: string): void {
    if (!this.#loading) return;
    this.#volumes.delete(key);
    this.forgetRow(key);
  }

  /** As `note`, for a volume that is not attached any more. */
  noteDetached(key: string): void {
    const volume = this.#volumes.get(key);
    if (!volume?.attached) return;
    const { attached: _, ...detached } = volume;
    this.note(detached);
  }

  doubt(name: FullName): void {
    this.#doubtful.add(name);
  }

  settle(name: FullName): void {
    this.#doubtful.delete(name);
  }

  /** Whether no event was missed meanwhile. */
  async #isReadInto(loading: Map<string, Volume>, host: Host, signal: AbortSignal): Promise<boolean> {
    this.#hasMissed = false;
    this.#sequence = (await host.call('watch', {}, signal)).sequence;
    let after: string | undefined;
    do {
      const page = await host.call('list', { limit: pageSize, ...(after !== undefined && { after }) }, signal);
      if (this.#loading !== loading) throw new Fault('Cancelled', 'a newer session took over');
      for (const volume of page.volumes) loading.set(keyOf(volume), volume);
      after = page.next;
    } while (after !== undefined);
    return !this.#hasMissed;
  }

  /**
   * The full name, with the datastore spelled as the service spells it.
   * @throws Fault InvalidName, DatastoreNotFound; HostUnavailable before the first view
   */
  resolve(asked: string): FullName {
    const parsed = parseAskedName(asked);
    const session = this.#session;
    if (!session) throw new Fault('HostUnavailable', 'the volumes are not known yet');
    if (parsed.datastore === undefined) {
      return fullName(parsed.name, parseDatastoreName(session.defaultDatastore));
    }
    const wanted = parsed.datastore.toLowerCase();
    const found = session.datastores.filter((candidate) => candidate.toLowerCase() === wanted);
    const datastore =
      found.find((candidate) => candidate === parsed.datastore) ?? (found.length === 1 ? found[0] : undefined);
    if (datastore !== undefined) return fullName(parsed.name, parseDatastoreName(datastore));
    const why =
      found.length > 1 ? `is ambiguous: ${found.join(', ')}` : `is unknown; known are ${session.datastores.join(', ')}`;
    throw new Fault('DatastoreNotFound', `datastore ${parsed.datastore} ${why} (default ${session.defaultDatastore})`);
  }

  /** @throws Fault VolumeNotFound only when that is certain, else HostUnavailable */
  find(name: FullName): Volume {
    const volume = this.#volumes.get(name);
    if (volume) return volume;
    if (this.#doubtful.has(name)) {
      throw new Fault('HostUnavailable', `volume ${name} may or may not exist: its last change was not answered`);
    }
    throw new Fault('VolumeNotFound', `volume ${name} does not exist`);
  }

  /** What tells the volume from a later one of its name; empty when it is not known. */
  identityOf(name: FullName): Partial<Pick<Volume, 'uuid'>> {
    const volume = this.#volumes.get(name);
    return volume ? { uuid: volume.uuid } : {};
  }

  /** Docker's answer to List, serialised. */
  list(pathOf: (name: string) => string): string {
    if (this.#listed !== undefined) return this.#listed;
    const rows: string[] = [];
    for (const [key, volume] of this.#volumes) {
      let row = this.#rows.get(key);
      if (row === undefined) this.#rows.set(key, (row = this.#rowOf(volume, pathOf(key))));
      rows.push(row);
    }
    return (this.#listed = `{"Volumes":[${rows.join(',')}],"Err":""}`);
  }

  /** To be called when the path of a volume changed, so that the next list shows it. */
  forgetRow(key: string): void {
    this.#rows.delete(key);
    this.#listed = undefined;
  }

  #rowOf(volume: Volume, path: string): string {
    return JSON.stringify({ Name: listedName(volume, this.#session?.defaultDatastore ?? ''), Mountpoint: path });
  }
}

function keyOf(volume: { readonly name: string; readonly datastore: string }): string {
  return `${volume.name}@${volume.datastore}`;
}
