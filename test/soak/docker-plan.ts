/** The schedule of one user of docker. Invariant: the same seed, user and roster give the same steps. */
import type { Random } from './random.ts';
import { defaultDatastore, type VolumeId } from './roster.ts';

export type DockerStep =
  | { readonly kind: 'volume create' | 'volume rm' | 'volume inspect'; readonly volume: VolumeId }
  | { readonly kind: 'volume ls' }
  /** A container that checks and writes on each of its volumes, and ends. */
  | { readonly kind: 'run'; readonly volumes: readonly VolumeId[]; readonly hasImageData: boolean }
  /** The same, but it stays. */
  | { readonly kind: 'hold'; readonly volumes: readonly VolumeId[]; readonly name: string }
  | { readonly kind: 'exec' | 'cp' | 'restart' | 'release'; readonly name: string };

interface Held {
  readonly name: string;
  readonly volumes: readonly VolumeId[];
}

const mostHeld = 2;

export class DockerPlan {
  readonly #random: Random;
  readonly #user: string;
  readonly #own: readonly VolumeId[];
  readonly #shared: readonly VolumeId[];
  readonly #there = new Set<VolumeId>();
  #held: Held[] = [];
  #names = 0;

  constructor(user: string, own: readonly VolumeId[], shared: readonly VolumeId[], random: Random) {
    this.#user = user;
    this.#own = own;
    this.#shared = shared;
    this.#random = random;
  }

  next(count: number): readonly DockerStep[] {
    return Array.from({ length: count }, () => this.#step());
  }

  #step(): DockerStep {
    const random = this.#random;
    const mayHold = this.#held.length < mostHeld;
    const isHolding = this.#held.length > 0 ? 1 : 0;
    const kind = random.weighted({
      run: 10,
      hold: mayHold ? 4 : 0,
      exec: 4 * isHolding,
      cp: isHolding,
      restart: isHolding,
      release: 3 * isHolding,
      create: 3,
      'volume rm': 2,
      'volume inspect': 1,
      'volume ls': 1,
    });
    switch (kind) {
      case 'run':
        return { kind, volumes: this.#some(), hasImageData: random.chance(0.2) };
      case 'hold':
        return this.#hold();
      case 'exec':
      case 'cp':
      case 'restart':
        return { kind, name: random.pickAny(this.#held)?.name ?? '' };
      case 'release': {
        const name = random.pickAny(this.#held)?.name ?? '';
        this.#held = this.#held.filter((one) => one.name !== name);
        return { kind, name };
      }
      case 'create':
        return this.#create();
      case 'volume rm':
        return this.#remove();
      case 'volume inspect':
        return { kind, volume: random.pickAny(this.#own) ?? this.#anyShared() };
      case 'volume ls':
        return { kind };
    }
  }

  #hold(): DockerStep {
    const held = { name: `${this.#user}-${(this.#names += 1)}`, volumes: this.#some() };
    this.#held.push(held);
    return { kind: 'hold', ...held };
  }

  #create(): DockerStep {
    const volume = this.#random.pickAny(this.#own) ?? this.#anyShared();
    this.#there.add(volume);
    return { kind: 'volume create', volume };
  }

  #remove(): DockerStep {
    const volume = this.#random.pickAny(this.#own);
    if (!volume) return { kind: 'volume ls' };
    if (!this.#held.some(({ volumes }) => volumes.includes(volume))) this.#there.delete(volume);
    return { kind: 'volume rm', volume };
  }

  /** One shared, one private or both; docker itself would make a private one that is not there. */
  #some(): readonly VolumeId[] {
    const own = this.#random.pickAny([...this.#there]);
    const isBoth = this.#random.chance(0.4);
    if (own === undefined || (!isBoth && this.#random.chance(0.5))) return [this.#anyShared()];
    return isBoth ? [own, this.#anyShared()] : [own];
  }

  #anyShared(): VolumeId {
    const found = this.#random.pickAny(this.#shared);
    if (!found) throw new Error('a storm has shared volumes');
    return found;
  }
}

/** dockerd takes `name` and `name@datastore` for two volumes, so each has one name there. */
export function dockerNameOf({ full, name, datastore }: VolumeId): string {
  return datastore === defaultDatastore ? name : full;
}
