/**
 * Holds mounts in progress for as long as one likes: a program named as the product's mkfs that waits, while the gate is
 * closed, before it becomes the real one. Waiting costs no processor time.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, closeSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export class MkfsGate implements Disposable {
  /** To be searched before the system's folders. */
  readonly toolFolder: string;
  readonly #gate: string;
  readonly #waiters: string;

  /** @param folder a new one, for the gate's own files */
  constructor(folder: string, tool: string) {
    this.toolFolder = join(folder, 'bin');
    this.#gate = join(folder, 'gate');
    this.#waiters = join(folder, 'waiters');
    for (const inner of [this.toolFolder, this.#waiters]) mkdirSync(inner, { recursive: true });
    const file = join(this.toolFolder, tool);
    writeFileSync(file, script(this.#gate, this.#waiters, tool));
    chmodSync(file, 0o755);
  }

  close(): void {
    const { status } = spawnSync('mkfifo', [this.#gate]);
    if (status !== 0) throw new Error(`no gate could be made at ${this.#gate}`);
  }

  /** How many have come to the gate since it was made. */
  waiting(): number {
    return readdirSync(this.#waiters).length;
  }

  /** Lets all go that wait, and all that come. */
  open(): void {
    const opening = `${this.#gate}.opening`;
    try {
      renameSync(this.#gate, opening);
    } catch {
      return;
    }
    // Open for both, so that it does not wait for a reader; each reader then sees the end once we close.
    closeSync(openSync(opening, 'r+'));
    rmSync(opening);
    for (const file of readdirSync(this.#waiters)) rmSync(join(this.#waiters, file));
  }

  [Symbol.dispose](): void {
    this.open();
  }
}

function script(gate: string, waiters: string, tool: string): string {
  return [
    '#!/bin/sh',
    `if [ -p '${gate}' ]; then : >'${waiters}'/$$; read -r _ <'${gate}'; fi`,
    'PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin',
    `exec ${tool} "$@"`,
    '',
  ].join('\n');
}
