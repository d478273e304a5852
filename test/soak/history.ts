/** What was asked and answered, by volume, as far back as helps to understand a violation; and the counts of a storm. */
const kept = 40;
/** How the counts of kills begin. */
export const killsOf = 'kills of ';
export const forgotten = 'containers that a killed dockerd forgot';

/** Something that must never be was seen. */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly volume: string | undefined;

  constructor(volume: string | undefined, message: string) {
    super(message);
    this.volume = volume;
  }
}

export class History {
  readonly #began = performance.now();
  readonly #lines = new Map<string, string[]>();
  readonly #counts = new Map<string, number>();
  readonly #slowest = new Map<string, number>();

  count(what: string, by = 1): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + by);
  }

  took(what: string, ms: number): void {
    this.#slowest.set(what, Math.max(this.#slowest.get(what) ?? 0, ms));
  }

  note(volume: string, who: string, text: string): void {
    const lines = this.#lines.get(volume) ?? [];
    this.#lines.set(volume, lines);
    lines.push(`${((performance.now() - this.#began) / 1000).toFixed(3).padStart(9)} s  ${who.padEnd(10)} ${text}`);
    if (lines.length > kept) lines.shift();
  }

  of(volume: string): readonly string[] {
    return this.#lines.get(volume) ?? [];
  }

  counted(what: string): number {
    return this.#counts.get(what) ?? 0;
  }

  get counts(): ReadonlyMap<string, number> {
    return this.#counts;
  }

  get slowestMs(): ReadonlyMap<string, number> {
    return this.#slowest;
  }
}
