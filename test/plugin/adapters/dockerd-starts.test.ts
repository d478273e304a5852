/** A process of dockerd's name connects, and is told apart from others by when it was started. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { silentLogger } from '../../../common/logging.ts';
import { startTicks } from '../../../native/process-times.ts';
import { DockerdStarts } from '../../../plugin/adapters/dockerd-starts.ts';

/** Connects once for each line that it reads, and says so. */
const script = `$| = 1; use IO::Socket::UNIX; my @kept;
while (<STDIN>) { push @kept, IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; print "connected\\n"; }`;

class Scene {
  readonly folder: string;
  readonly told: number[] = [];
  starts: DockerdStarts;
  readonly #server: Server;

  private constructor(folder: string) {
    this.folder = folder;
    this.starts = this.restarted();
    this.#server = createServer((connection) => this.starts.connected(connection));
  }

  static async open(t: ExecutionContext): Promise<Scene> {
    const folder = await mkdtemp(join(tmpdir(), 'dockerd-starts-'));
    const scene = new Scene(folder);
    // The kernel names a process after the file that was executed.
    await mkdir(join(folder, 'bin'));
    await symlink('/usr/bin/perl', join(folder, 'bin/dockerd'));
    scene.#server.listen(scene.socket);
    await once(scene.#server, 'listening');
    t.teardown(async () => {
      scene.#server.close();
      await rm(folder, { recursive: true });
    });
    return scene;
  }

  get socket(): string {
    return join(this.folder, 'plugin.sock');
  }

  /** Our process as it is after a restart. */
  restarted(): DockerdStarts {
    const onStart = (at: number): void => void this.told.push(at);
    return new DockerdStarts({ folder: this.folder, bootId: 'boot', logger: silentLogger, onStart });
  }

  dockerd(t: ExecutionContext): ChildProcessWithoutNullStreams {
    const child = spawn(join(this.folder, 'bin/dockerd'), ['-e', script, this.socket]);
    t.teardown(() => child.kill('SIGKILL'));
    return child;
  }

  async connection(child: ChildProcessWithoutNullStreams): Promise<void> {
    const served = once(this.#server, 'connection');
    child.stdin.write('\n');
    await Promise.all([served, once(child.stdout, 'data')]);
  }
}

test('dockerd starts: each dockerd is told once, with its start, however often it connects', async (t) => {
  const scene = await Scene.open(t);
  const first = scene.dockerd(t);
  await scene.connection(first);
  await scene.connection(first);
  t.deepEqual(scene.told, [await startTicks(Number(first.pid))]);
  const second = scene.dockerd(t);
  await scene.connection(second);
  t.deepEqual(scene.told.slice(1), [await startTicks(Number(second.pid))]);
});

test('dockerd starts: the plugin was started again under the same dockerd: that is no start of dockerd', async (t) => {
  const scene = await Scene.open(t);
  const dockerd = scene.dockerd(t);
  await scene.connection(dockerd);
  scene.starts = scene.restarted();
  await scene.connection(dockerd);
  t.is(scene.told.length, 1);
  scene.starts = scene.restarted();
  await scene.connection(scene.dockerd(t));
  t.is(scene.told.length, 2, 'another dockerd, after a restart of both');
});

test('dockerd starts: who else connects is none', async (t) => {
  const scene = await Scene.open(t);
  const connection = connect(scene.socket);
  t.teardown(() => connection.destroy());
  await once(connection, 'connect');
  await scene.connection(scene.dockerd(t));
  t.is(scene.told.length, 1);
});
