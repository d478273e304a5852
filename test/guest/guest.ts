/**
 * A virtual machine for tests: Debian's kernel under QEMU, with our product in it, a vsock device, and a bus for disks.
 *
 * Invariants: when it is disposed, or this process ends in whatever way, its processes have ended and its files are
 * gone; every wait has a deadline; who waits for a guest that has died is told so with the end of its console.
 */
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { abortable, deadline } from '../../common/deadline.ts';
import { messageOf } from '../../common/fault.ts';
import { Agent, type GuestResult, type RunOptions } from './agent.ts';
import { guestImage } from './image.ts';
import { askMonitor } from './monitor.ts';
import { OwnedProcess } from './owned-process.ts';
import { packProject } from './project.ts';
import { qemuCommand } from './qemu-command.ts';
import { VsockBackend } from './vsock-backend.ts';

export interface GuestOptions {
  readonly memoryMebibytes?: number;
  readonly processors?: number;
  /** What the guest takes for its own CID. */
  readonly cid?: number;
  /** Otherwise a guest that would reboot ends. */
  readonly mayReboot?: boolean;
  /** More of QEMU's arguments. */
  readonly arguments?: readonly string[];
  /** The caller's: where its sockets are, so that after its next boot they are found in the same places. */
  readonly folder?: string;
}

interface GuestParts {
  readonly folder: string;
  readonly vsock: VsockBackend;
  readonly agent: Agent;
  readonly qemu: OwnedProcess;
}

const bootMs = 90_000;
const consoleCharacters = 2000;

export class Guest implements AsyncDisposable {
  /** QEMU's monitor, where nobody is connected yet. */
  readonly qmpSocket: string;
  /** Another one, which serves `pause` and `resume` too, while nobody else is connected. */
  readonly monitorSocket: string;
  readonly vsock: VsockBackend;
  readonly #owned: AsyncDisposableStack;
  readonly #agent: Agent;
  readonly #folder: string;
  readonly #qemu: OwnedProcess;

  private constructor(owned: AsyncDisposableStack, { folder, vsock, agent, qemu }: GuestParts) {
    this.#owned = owned;
    this.#qemu = qemu;
    this.#folder = folder;
    this.#agent = agent;
    this.qmpSocket = join(folder, 'qmp');
    this.monitorSocket = join(folder, 'monitor');
    this.vsock = vsock;
  }

  static async boot(options: GuestOptions = {}): Promise<Guest> {
    await using owned = new AsyncDisposableStack();
    const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'guest-')));
    if (options.folder === undefined) owned.defer(() => rm(folder, { recursive: true, force: true }));
    const image = await guestImage();
    await packProject(join(folder, 'project.tar'));
    const { cid = 3, mayReboot = false, memoryMebibytes = 512, processors = 2 } = options;
    const vsock = owned.use(await VsockBackend.start(folder, cid));
    using limit = deadline(bootMs, 'booting a guest');
    const port = await awaitPort(join(folder, 'agent'));
    owned.defer(() => void port.server.close());
    const command = qemuCommand({
      ...{ folder, image, mayReboot, memoryMebibytes, processors },
      vsockDevice: vsock.deviceSocket,
      arguments: options.arguments ?? [],
    });
    const qemu = owned.use(new OwnedProcess(command));
    qemu.output.resume();
    const died = qemu.ended.then(async (): Promise<never> => {
      throw new Error(`QEMU has ended: ${qemu.complaints}\n${await consoleEnd(folder)}`);
    });
    died.catch(() => undefined);
    try {
      const agent = new Agent(await abortable(Promise.race([port.connected, died]), limit.signal));
      died.catch((error: unknown) => agent.lose(error instanceof Error ? error : new Error(String(error))));
      await abortable(agent.ready, limit.signal);
      return new Guest(owned.move(), { folder, vsock, agent, qemu });
    } catch (error) {
      throw new Error(`${messageOf(error)}\n${await consoleEnd(folder)}`, { cause: error });
    }
  }

  /** In a shell, as root. Several may run at once. */
  run(command: string, options?: RunOptions): Promise<GuestResult> {
    return this.#agent.run(command, options);
  }

  /** As `run`, for commands whose failure means that the test bed itself is broken; gives their output. */
  async mustRun(command: string, options?: RunOptions): Promise<string> {
    const { code, stdout, stderr } = await this.run(command, options);
    if (code !== 0) throw new Error(`"${command}" in the guest ended with ${code}: ${stderr}${stdout}`);
    return stdout;
  }

  /** The folder must be there. */
  async copyIn(bytes: Uint8Array, path: string): Promise<void> {
    await this.mustRun(`cat > '${path}'`, { input: bytes });
  }

  /** A command to its QEMU, as somebody beside the service gives one. */
  async askQemu(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> {
    return await askMonitor(this.monitorSocket, command, args);
  }

  /** Its processors stand still, until `resume`. */
  async pause(): Promise<void> {
    await this.askQemu('stop');
  }

  async resume(): Promise<void> {
    await this.askQemu('cont');
  }

  /** As the reset button does it: nothing is written back, and all programs end. Returns when it takes commands again. */
  async reset(): Promise<void> {
    const ready = this.#agent.restarted();
    await this.askQemu('system_reset');
    using limit = deadline(bootMs, 'booting a guest again');
    await abortable(ready, limit.signal);
  }

  /** As a crash of the host's program would end it: SIGKILL. Only its files and its monitors' sockets stay. */
  async kill(): Promise<void> {
    await this.#qemu[Symbol.asyncDispose]();
  }

  /** What the guest's kernel and start have said so far. */
  consoleLog(): Promise<string> {
    return readFile(join(this.#folder, 'console'), 'utf8');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}

/** QEMU connects here at its start, so nobody has to look for a socket of its making. */
async function awaitPort(path: string): Promise<{ readonly server: Server; readonly connected: Promise<Socket> }> {
  const { promise, resolve } = Promise.withResolvers<Socket>();
  const server = createServer(resolve).listen(path);
  await once(server, 'listening');
  return { server, connected: promise };
}

async function consoleEnd(folder: string): Promise<string> {
  const text = await readFile(join(folder, 'console'), 'utf8').catch(() => '');
  return `the end of its console: ${text.slice(-consoleCharacters)}`;
}
