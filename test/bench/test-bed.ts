/**
 * Where a run takes place: one folder, and one mount namespace in which everything that is measured mounts. Invariant:
 * after its disposal no mount, loop device, process or file of the run is left; if we are killed, the namespace takes
 * its mounts with it.
 */
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Command, mustRun } from '../../scripts/command.ts';
import { detachLoopsBelow } from '../docker/harness/loops.ts';
import { MountNamespace } from '../docker/harness/namespace.ts';

const source = join(import.meta.dirname, 'floor.c');
const strict = ['-std=c11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Wpedantic', '-Wconversion', '-Wshadow', '-Werror'];

export class TestBed implements AsyncDisposable {
  readonly folder: string;
  /** The compiled floor. */
  readonly floorProgram: string;
  readonly #namespace: MountNamespace;

  private constructor(folder: string, floorProgram: string, namespace: MountNamespace) {
    this.folder = folder;
    this.floorProgram = floorProgram;
    this.#namespace = namespace;
  }

  /** @param parent a folder on a real file system; it may stay behind, with the compiled floor in it */
  static async open(parent: string): Promise<TestBed> {
    if (process.getuid?.() !== 0) throw new Error('the benchmark mounts file systems: run it as root');
    await mkdir(parent, { recursive: true });
    const floorProgram = await compile(parent);
    const folder = await mkdtemp(join(parent, 'run-'));
    try {
      return new TestBed(folder, floorProgram, await MountNamespace.open(join(folder, 'run')));
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** The same command in the run's mount namespace. */
  inside(command: Command): Command {
    return this.#namespace.inside(command);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#namespace.close();
    await detachLoopsBelow(this.folder);
    await rm(this.folder, { recursive: true, force: true });
  }
}

async function compile(parent: string): Promise<string> {
  const program = join(parent, 'floor');
  const fresh = join(dirname(program), `.floor-${String(process.pid)}`);
  await mustRun(['cc', '-O2', ...strict, source, '-o', fresh, '-lblkid', '-lpthread']);
  await rename(fresh, program);
  return program;
}
