/** A socket, and processes of dockerd's name that connect to it when they are told to. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import type { Command } from '../../../scripts/command.ts';
import { withOwnMounts } from '../../../scripts/own-mounts.ts';

/** Connects once for each line that it reads, and says so. */
const script = `$| = 1; use IO::Socket::UNIX; my @kept;
while (<STDIN>) { push @kept, IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; print "connected\\n"; }`;

export class ConnectionScene {
  readonly folder: string;
  onConnection: ((connection: Socket) => void) | undefined;
  readonly #server: Server;

  private constructor(folder: string) {
    this.folder = folder;
    this.#server = createServer((connection) => this.onConnection?.(connection));
  }

  static async open(t: ExecutionContext): Promise<ConnectionScene> {
    const folder = await mkdtemp(join(tmpdir(), 'connections-'));
    const scene = new ConnectionScene(folder);
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

  dockerd(t: ExecutionContext): ChildProcessWithoutNullStreams {
    return this.#run(t, this.#dockerd);
  }

  /** In a mount namespace of its own, which our mounts reach. */
  dockerdInSlave(t: ExecutionContext): ChildProcessWithoutNullStreams {
    return this.#run(t, ['unshare', '--mount', '--propagation', 'slave', ...this.#dockerd]);
  }

  /** In one that they do not reach; it has a copy of those below this folder. */
  dockerdApart(t: ExecutionContext, kept?: string): ChildProcessWithoutNullStreams {
    return this.#run(t, withOwnMounts(this.#dockerd, kept));
  }

  get #dockerd(): Command {
    return [join(this.folder, 'bin/dockerd'), '-e', script, this.socket];
  }

  #run(t: ExecutionContext, [program, ...args]: Command): ChildProcessWithoutNullStreams {
    const child = spawn(program, args);
    t.teardown(() => child.kill('SIGKILL'));
    return child;
  }

  /** Resolves when it has connected once more. */
  async made(child: ChildProcessWithoutNullStreams): Promise<void> {
    const served = once(this.#server, 'connection');
    child.stdin.write('\n');
    await Promise.all([served, once(child.stdout, 'data')]);
  }
}
