/** Runs of the floor (floor.c says what it includes) beside the product, on the same file system. */
import { mkdir } from 'node:fs/promises';
import { mustRun } from '../../scripts/command.ts';
import { type Step, type Steps, StepTimes } from './step-times.ts';
import type { TestBed } from './test-bed.ts';

export interface Batch {
  readonly steps: Steps;
  readonly wallSeconds: number;
  readonly errors: number;
}

export interface BatchRequest {
  readonly volumes: number;
  readonly clients: number;
  /** Pairs of a later Mount and Unmount for each volume. */
  readonly laterPairs: number;
}

const timeoutMs = 120_000;

export class Floor {
  readonly #bed: TestBed;
  readonly #signal: AbortSignal;
  readonly #folder: string;
  readonly #mkfs: readonly string[];

  private constructor(bed: TestBed, mkfs: readonly string[], signal: AbortSignal) {
    this.#bed = bed;
    this.#signal = signal;
    this.#folder = bed.path('floor');
    this.#mkfs = mkfs;
  }

  /** @param mkfs the product's own command, with `DEVICE` for the device */
  static async prepare(bed: TestBed, mkfs: readonly string[], signal: AbortSignal): Promise<Floor> {
    const floor = new Floor(bed, mkfs, signal);
    for (const name of ['disks', 'mounts']) await mkdir(`${floor.#folder}/${name}`, { recursive: true });
    return floor;
  }

  async run({ volumes, clients, laterPairs }: BatchRequest): Promise<Batch> {
    const numbers = [volumes, clients, laterPairs].map(String);
    const command = this.#bed.inside([this.#bed.floorProgram, this.#folder, ...numbers, ...this.#mkfs]);
    const output = await mustRun(command, { timeoutMs, signal: this.#signal, env: process.env });
    const lines = output
      .trim()
      .split('\n')
      .map((line) => line.split(' '));
    const times = new StepTimes();
    let [wallSeconds, errors] = [0, 0];
    for (const [name = '', value] of lines) {
      if (name === 'wall') wallSeconds = Number(value);
      else if (name === 'errors') errors = Number(value);
      else times.add(name as Step, Number(value));
    }
    return { steps: times.all, wallSeconds, errors };
  }
}
