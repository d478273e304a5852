/**
 * A client's schedule. Invariant: the same seed, client and roster give the same steps, whatever is answered and
 * however long it takes; the plan only aims well by keeping in mind what its own steps should have made of its volumes.
 */
import type { Random } from './random.ts';
import { defaultDatastore, type Roster, type VolumeId } from './roster.ts';
import { badRequests, type Options, type Step } from './step.ts';

interface Aim {
  readonly volume: VolumeId;
  isThere: boolean;
  options: Options;
  ids: string[];
}

const idDigits = 64;
const clones = 0.15;

export class ClientPlan {
  readonly #random: Random;
  readonly #own: readonly Aim[];
  readonly #shared: readonly Aim[];
  readonly #contended: readonly Aim[];
  readonly #golden: readonly VolumeId[];

  constructor(roster: Roster, client: number, random: Random) {
    this.#random = random;
    const aims = (volumes: readonly VolumeId[], isThere: boolean): readonly Aim[] =>
      volumes.map((volume) => ({ volume, isThere, options: {}, ids: [] }));
    this.#own = aims(roster.own[client] ?? [], false);
    this.#shared = aims(roster.shared, true);
    this.#contended = aims(roster.contended, true);
    this.#golden = roster.golden;
  }

  /** The steps of the next round. */
  next(count: number): readonly Step[] {
    return Array.from({ length: count }, () => this.#step());
  }

  #step(): Step {
    const where = this.#random.weighted({ own: 60, shared: 26, contended: 8, list: 3, bad: 3 });
    if (where === 'list') return { kind: 'list' };
    if (where === 'bad') return { kind: 'bad', which: this.#random.pickAny(badRequests) ?? 'empty body' };
    const from = { own: this.#own, shared: this.#shared, contended: this.#contended }[where];
    const aim = this.#random.pickAny(from) ?? this.#random.pickAny(this.#shared);
    if (!aim) return { kind: 'list' };
    if (aim.volume.role === 'contended') return this.#onContended(aim);
    if (!aim.isThere) return this.#onAbsent(aim);
    return aim.ids.length > 0 ? this.#onMounted(aim) : this.#onPresent(aim);
  }

  #onAbsent(aim: Aim): Step {
    const kind = this.#random.weighted({ create: 14, get: 1, mount: 1, unmount: 1, remove: 1 });
    return kind === 'create' ? this.#create(aim) : this.#plain(aim, kind, false);
  }

  #onPresent(aim: Aim): Step {
    const mayRemove = aim.volume.role === 'private' ? 3 : 0;
    const weights = { mount: 14, 'hang up': 2, again: 1, get: 1, path: 1, unmount: 1, remove: mayRemove };
    const kind = this.#random.weighted(weights);
    switch (kind) {
      case 'mount':
        return this.#plain(aim, 'mount', true);
      case 'hang up':
        return this.#hangUp(aim);
      case 'again':
        return this.#createAgain(aim);
      case 'remove':
        aim.isThere = false;
        return this.#plain(aim, 'remove', false);
      default:
        return this.#plain(aim, kind, false);
    }
  }

  #onMounted(aim: Aim): Step {
    const weights = {
      write: 6,
      verify: 4,
      release: 8,
      mount: 3,
      'hang up': 1,
      again: 1,
      get: 1,
      path: 1,
      remove: 1,
      unmount: 1,
    };
    const kind = this.#random.weighted(weights);
    switch (kind) {
      case 'write':
        return { kind, ...this.#named(aim), bytes: this.#random.whole(1, 20_000) };
      case 'release': {
        const id = this.#random.pickAny(aim.ids) ?? '';
        aim.ids.splice(aim.ids.indexOf(id), 1);
        return { kind: 'unmount', ...this.#named(aim), id };
      }
      case 'mount':
        return this.#plain(aim, 'mount', true);
      case 'hang up':
        return this.#hangUp(aim);
      case 'again':
        return this.#createAgain(aim);
      default:
        return this.#plain(aim, kind, false);
    }
  }

  /** Nobody can plan for these: all that is planned may fail. */
  #onContended(aim: Aim): Step {
    const kind = this.#random.weighted({ create: 4, mount: 4, release: 4, remove: 3, get: 2, 'hang up': 1 });
    if (kind === 'create') return { kind, ...this.#named(aim), options: { size: '8mb' } };
    if (kind === 'hang up') return this.#hangUp(aim);
    if (kind === 'release') return { kind: 'unmount', ...this.#named(aim), id: aim.ids.pop() ?? this.#newId() };
    return this.#plain(aim, kind, true);
  }

  /** @param isKept whether a mount's ID is to be remembered */
  #plain(aim: Aim, kind: 'get' | 'path' | 'remove' | 'verify' | 'mount' | 'unmount', isKept: boolean): Step {
    if (kind !== 'mount' && kind !== 'unmount') return { kind, ...this.#named(aim) };
    const id = kind === 'mount' ? this.#mountId(aim) : this.#newId();
    if (kind === 'mount' && isKept) aim.ids.push(id);
    return { kind, ...this.#named(aim), id };
  }

  #hangUp(aim: Aim): Step {
    const afterMs = this.#random.pick([0, 1, 3, 8, 20, 50, 120, 300]);
    return { kind: 'hang up', ...this.#named(aim), id: this.#newId(), afterMs };
  }

  #create(aim: Aim): Step {
    const source = this.#random.chance(clones * 2) ? this.#source(aim) : undefined;
    aim.options = source === undefined ? this.#newOptions() : this.#cloneOptions(source);
    // A clone of what is mounted is refused, and a source may be smaller than planned.
    aim.isThere = source === undefined || source.role === 'golden' || !this.#isMounted(source);
    return { kind: 'create', ...this.#named(aim), options: aim.options };
  }

  #source(aim: Aim): VolumeId | undefined {
    const mine = this.#own.filter((other) => other !== aim && other.isThere).map(({ volume }) => volume);
    return this.#random.chance(0.4) ? this.#random.pickAny(mine) : this.#random.pickAny(this.#golden);
  }

  #isMounted(source: VolumeId): boolean {
    return this.#own.some(({ volume, ids }) => volume === source && ids.length > 0);
  }

  #createAgain(aim: Aim): Step {
    const isOther = this.#random.chance(0.5);
    return { kind: 'create', ...this.#named(aim), options: isOther ? { size: '77mb' } : aim.options };
  }

  #newOptions(): Options {
    const kind = this.#random.weighted({
      ext4: 40,
      plain: 20,
      ext2: 6,
      thick: 6,
      noatime: 6,
      owned: 6,
      btrfs: 1,
      xfs: 1,
    });
    const size = `${String(this.#random.whole(8, 24))}mb`;
    const more: Readonly<Record<typeof kind, Options>> = {
      ext4: { size, fstype: 'ext4' },
      plain: {},
      ext2: { size, fstype: 'ext2' },
      thick: { size: '8mb', diskformat: this.#random.pick(['zeroedthick', 'eagerzeroedthick']) },
      noatime: { size, 'mount-options': 'noatime,nodev' },
      owned: { size, uid: '1000', gid: '1000', mode: '0770' },
      btrfs: { size: '120mb', fstype: 'btrfs' },
      xfs: { size: '300mb', fstype: 'xfs' },
    };
    return more[kind];
  }

  #cloneOptions(source: VolumeId): Options {
    const isReadOnly = this.#random.chance(0.3);
    return { 'clone-from': this.#asked(source), ...(isReadOnly && { access: 'read-only' }) };
  }

  #named(aim: Aim): { readonly volume: VolumeId; readonly asked: string } {
    return { volume: aim.volume, asked: this.#asked(aim.volume) };
  }

  #asked({ full, name, datastore }: VolumeId): string {
    return datastore === defaultDatastore && this.#random.chance(0.6) ? name : full;
  }

  /** Mostly new; sometimes one that is mounted already, here or on another volume. */
  #mountId(aim: Aim): string {
    const here = this.#random.chance(0.2) ? this.#random.pickAny(aim.ids) : undefined;
    if (here !== undefined) return here;
    const elsewhere = this.#random.chance(0.1) ? this.#random.pickAny(this.#own)?.ids[0] : undefined;
    return elsewhere !== undefined && !aim.ids.includes(elsewhere) ? elsewhere : this.#newId();
  }

  #newId(): string {
    return this.#random.hex(idDigits);
  }
}
