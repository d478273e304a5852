/**
 * A guest in a guest: the outer one is its host, with the real vhost-vsock, which needs a kernel of its own to be loaded
 * into. Invariants: it lives no longer than the outer one; AF_VSOCK is opened in those two only.
 */
import { randomUUID } from 'node:crypto';
import { abortable, deadline } from '../../common/deadline.ts';
import { messageOf } from '../../common/fault.ts';
import { encodeFrame, FrameDecoder } from '../../native/channel/frame.ts';
import { Agent, type GuestResult } from './agent.ts';
import { Guest } from './guest.ts';
import { GuestProgram } from './guest-program.ts';
import { machineArguments } from './inner-machine.ts';
import { nestedDisk } from './nested-disk.ts';
import { hostCid } from './vsock-checks.ts';

export interface InnerGuestOptions {
  readonly cid: number;
  /** In the outer guest: where its QEMU listens. */
  readonly qmpSocket: string;
}

export interface Conversation {
  /** 0: each frame was answered; 2: there was no connection; 3: it was closed before an answer. */
  readonly code: number;
  readonly complaints: string;
  readonly replies: readonly unknown[];
}

const outerMebibytes = 1024;
/** An emulated machine that emulates a machine, on one processor or two that others use as well. */
const bootMs = 300_000;
const answerMs = 120_000;
const agentPort = 7001;
const agentSocket = '/run/inner-agent';
const consoleFile = '/run/inner-console';
const vsockDevice = '/sys/bus/virtio/drivers/vmw_vsock_virtio_transport/virtio*';

/** A guest that can host inner ones. */
export async function bootOuterGuest(): Promise<Guest> {
  const drive = `id=nested,if=none,format=raw,read-only=on,file=${await nestedDisk()}`;
  const guest = await Guest.boot({
    memoryMebibytes: outerMebibytes,
    arguments: ['-drive', drive, '-device', 'virtio-blk-pci,drive=nested'],
  });
  try {
    await guest.mustRun('modprobe vhost_vsock && mkdir /nested && mount -t ext4 -o ro /dev/vdc /nested');
    return guest;
  } catch (error) {
    await guest[Symbol.asyncDispose]();
    throw error;
  }
}

export class InnerGuest {
  readonly #agent: Agent;

  private constructor(agent: Agent) {
    this.#agent = agent;
  }

  static async boot(outer: Guest, options: InnerGuestOptions): Promise<InnerGuest> {
    using limit = deadline(bootMs, 'booting an inner guest');
    await GuestProgram.startOurs(outer, 'bridge', 'listening', String(agentPort), agentSocket);
    // It returns when the machine has its sockets, and goes on behind.
    await outer.mustRun(qemuCommand(options));
    const agent = new Agent(await outer.vsock.dial(agentPort));
    try {
      await abortable(agent.ready, limit.signal);
      // The state that it goes on from knows nothing of a vsock device.
      await agent.run(`echo 1 > /sys/bus/pci/rescan; until [ -e ${vsockDevice} ]; do usleep 50000; done`, {
        timeoutMs: bootMs,
        signal: limit.signal,
      });
    } catch (error) {
      const console = await outer.run(`tail -c 2000 ${consoleFile}`);
      const sentence = `the inner guest does not start: ${messageOf(error)}; the end of its console: ${console.stdout}`;
      throw new Error(sentence, { cause: error });
    }
    return new InnerGuest(agent);
  }

  /** In a shell, as root. */
  async run(command: string, input?: Uint8Array): Promise<GuestResult> {
    return await this.#agent.run(command, { timeoutMs: answerMs, ...(input && { input }) });
  }

  async mustRun(command: string, input?: Uint8Array): Promise<string> {
    const { code, stdout, stderr } = await this.run(command, input);
    if (code !== 0) throw new Error(`"${command}" in the inner guest ended with ${code}: ${stderr}${stdout}`);
    return stdout;
  }

  /** Messages to a port of its host, one after the other on one connection, each when the one before was answered. */
  async ask(port: number, from: 'privileged' | 'any', messages: readonly unknown[]): Promise<Conversation> {
    const client = `client ${hostCid} ${port} ${from} > /tmp/replies`;
    const input = Buffer.concat(messages.map(encodeFrame));
    const { code, stdout, stderr } = await this.run(`${client}; code=$?; base64 /tmp/replies; exit $code`, input);
    const replies: unknown[] = [];
    new FrameDecoder().push(Buffer.from(stdout, 'base64'), (reply) => replies.push(reply));
    return { code, complaints: stderr, replies };
  }
}

/** A command of the channel's version 3; its id is the place in its connection. */
export function request(cmd: string, args: unknown, id: number): unknown {
  return { v: 3, id, cmd, key: randomUUID(), args };
}

function qemuCommand({ cid, qmpSocket }: InnerGuestOptions): string {
  const machine = {
    kernel: '/nested/kernel',
    initrd: '/nested/initrd',
    console: `file,path=${consoleFile}`,
    agentSocket,
    qmpSocket,
  };
  const saved = ['-incoming', 'exec:cat /nested/state', '-daemonize'];
  // After all others, which have to be those of the saved state.
  const vsock = ['-device', `vhost-vsock-pci,guest-cid=${cid},addr=0x5`];
  const words = [...machineArguments(machine), ...saved, ...vsock].map((word) => `'${word}'`);
  return `QEMU_MODULE_DIR=/nested/modules LD_LIBRARY_PATH=/nested/lib /nested/qemu -L /nested/firmware ${words.join(' ')}`;
}
