/** A driver whose state is real and whose steps can be held up or made to fail on order. */
import { Fault } from '../../../common/fault.ts';
import type { DockerVolume } from '../../../plugin/core/docker-volume.ts';
import type { Health, VolumeDriver } from '../../../plugin/ports/driver.ts';

export type Step = 'create' | 'remove' | 'mount' | 'unmount' | 'path' | 'get' | 'list';

/** A step that waits: `entered` resolves when it is reached, `open` lets it go on. */
export interface Gate {
  readonly entered: Promise<void>;
  open(): void;
}

export class FakeDriver implements VolumeDriver {
  readonly calls: string[] = [];
  readonly volumes = new Map<string, { readonly options: Readonly<Record<string, string>>; readonly ids: string[] }>();
  readonly signals: AbortSignal[] = [];
  createdAt = '2026-01-02T03:04:05Z';
  mountPath: (name: string) => string = (name) => `/mnt/vmdk/${name}`;
  shownName: (name: string) => string = (name) => name;
  activations = 0;
  isDegraded = false;
  readonly #failures = new Map<Step, unknown[]>();
  readonly #gates = new Map<Step, { enter: () => void; readonly opened: Promise<void> }[]>();
  readonly #waiters: { readonly line: string; readonly resolve: () => void }[] = [];

  failNext(step: Step, error: unknown): void {
    this.#failures.set(step, [...(this.#failures.get(step) ?? []), error]);
  }

  holdNext(step: Step): Gate {
    const entered = Promise.withResolvers<undefined>();
    const opened = Promise.withResolvers<undefined>();
    const gate = { enter: () => entered.resolve(undefined), opened: opened.promise };
    this.#gates.set(step, [...(this.#gates.get(step) ?? []), gate]);
    return { entered: entered.promise, open: () => opened.resolve(undefined) };
  }

  /** Resolves when the call was made, now or earlier. */
  called(line: string): Promise<void> {
    if (this.calls.includes(line)) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#waiters.push({ line, resolve: () => resolve(undefined) });
    return promise;
  }

  ids(name: string): readonly string[] {
    return this.volumes.get(name)?.ids ?? [];
  }

  async create(name: string, options: Readonly<Record<string, string>>, caller: AbortSignal): Promise<void> {
    await this.#enter('create', `create ${name} ${JSON.stringify(options)}`, caller);
    if (!this.volumes.has(name)) this.volumes.set(name, { options, ids: [] });
  }

  async remove(name: string, caller: AbortSignal): Promise<void> {
    await this.#enter('remove', `remove ${name}`, caller);
    if (this.ids(name).length > 0) throw new Fault('VolumeInUse', `volume ${name} is mounted here`);
    this.volumes.delete(name);
  }

  /** Like the real one it hears of a caller that hung up only up to the moment at which it has the reference. */
  async mount(name: string, id: string, caller: AbortSignal): Promise<string> {
    await this.#enter('mount', `mount ${name} ${id}`, caller);
    caller.throwIfAborted();
    this.#found(name).ids.push(id);
    return this.mountPath(name);
  }

  async unmount(name: string, id: string, caller: AbortSignal): Promise<void> {
    await this.#enter('unmount', `unmount ${name} ${id}`, caller);
    const { ids } = this.#found(name);
    const place = ids.indexOf(id);
    if (place !== -1) ids.splice(place, 1);
  }

  path(name: string): string {
    this.#act('path', `path ${name}`);
    return this.ids(name).length > 0 ? this.mountPath(name) : '';
  }

  get(name: string): DockerVolume {
    this.#act('get', `get ${name}`);
    this.#found(name);
    return {
      Name: this.shownName(name),
      Mountpoint: this.path(name),
      CreatedAt: this.createdAt,
      Status: { status: 'ok' },
    };
  }

  list(): string {
    this.#act('list', 'list');
    return JSON.stringify({ Volumes: [...this.volumes.keys()].map((Name) => ({ Name, Mountpoint: '' })), Err: '' });
  }

  health(): Health {
    const mounted = [...this.volumes].filter(([, { ids }]) => ids.length > 0);
    return {
      status: this.isDegraded ? 'degraded' : 'ok',
      host: { address: 'unix:///host', isConnected: !this.isDegraded, viewAgeMs: 1500 },
      volumes: { known: this.volumes.size, mounted: mounted.length },
      mounted: mounted.map(([volume, { ids }]) => ({ volume, path: this.mountPath(volume), references: ids })),
      problems: this.isDegraded ? ['the host does not answer'] : [],
      locks: [],
    };
  }

  activated(): void {
    this.activations += 1;
  }

  async #enter(step: Step, line: string, caller: AbortSignal): Promise<void> {
    this.signals.push(caller);
    this.#note(line);
    const gate = this.#gates.get(step)?.shift();
    gate?.enter();
    await gate?.opened;
    this.#fail(step);
  }

  #act(step: Step, line: string): void {
    this.#note(line);
    this.#fail(step);
  }

  #fail(step: Step): void {
    const queue = this.#failures.get(step) ?? [];
    if (queue.length > 0) throw queue.shift();
  }

  #note(line: string): void {
    this.calls.push(line);
    for (const waiter of this.#waiters) if (waiter.line === line) waiter.resolve();
  }

  #found(name: string): { readonly ids: string[] } {
    const volume = this.volumes.get(name);
    if (!volume) throw new Fault('VolumeNotFound', `volume ${name} does not exist`);
    return volume;
  }
}
