/**
 * Real QEMUs for one test: machines without an operating system, since plugging SCSI disks needs none. Invariant: they
 * end with the test, however it ends, and with us if we are killed.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { ExecutionContext } from 'ava';
import { silentLogger } from '../../../common/logging.ts';
import { QemuHypervisor, type QemuOptions } from '../../../esx-service/adapters/qemu-hypervisor.ts';
import { vms } from './commands.ts';
import type { Place } from './place.ts';

export interface Qemu {
  /** Of the QMP socket that is the service's. */
  readonly qmp: string;
  readonly pid: number;
  /** As another client of the same QEMU would: its answer, or its refusal as an error. */
  readonly ask: (execute: string, args?: Readonly<Record<string, unknown>>) => Promise<unknown>;
  /** Resolves when that client is told the event; not to be called while it asks. */
  readonly event: (name: string) => Promise<void>;
  /** SIGKILL; resolves when it has ended. May be called again. */
  readonly kill: () => Promise<void>;
  readonly signal: (signal: 'SIGSTOP' | 'SIGCONT') => void;
}

export interface QemuSetup {
  readonly name: string;
  readonly devices?: readonly string[];
  readonly uuid?: string;
}

const oneController = ['pvscsi,id=vmdk0'];
const common = '-M pc -accel tcg -m 64 -nodefaults -no-user-config -display none -S'.split(' ');

export async function startQemu(t: ExecutionContext, at: Place, setup: QemuSetup): Promise<Qemu> {
  const { name, devices = oneController, uuid = '6c1d5f2e-0000-4000-8000-000000000001' } = setup;
  const qmp = at.path(`${name}.qmp`);
  const args = [
    ...common,
    ...['-name', `guest=${name}`, '-uuid', uuid, '-qmp', `unix:${qmp},server=on,wait=off`, '-qmp', 'stdio'],
    ...devices.flatMap((device) => ['-device', device]),
  ];
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'qemu-system-x86_64', ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  t.teardown(kill);
  const { ask, event } = secondClient(child);
  // It greets when all its sockets are there.
  await ask('qmp_capabilities');
  return { qmp, pid: child.pid ?? 0, ask, event, kill, signal: (signal) => child.kill(signal) };
}

function secondClient(child: ChildProcessByStdio<Writable, Readable, null>): Pick<Qemu, 'ask' | 'event'> {
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const next = async (): Promise<Record<string, unknown>> => {
    const { done, value } = await lines.next();
    if (done) throw new Error('QEMU has ended');
    return JSON.parse(value) as Record<string, unknown>;
  };
  const greeted = next();
  greeted.catch(() => undefined);
  return {
    async ask(execute, args = {}) {
      await greeted;
      child.stdin.write(`${JSON.stringify({ execute, arguments: args })}\n`);
      for (;;) {
        const { return: answer, error } = await next();
        if (error !== undefined) throw new Error(JSON.stringify(error));
        if (answer !== undefined) return answer;
      }
    },
    async event(name) {
      while ((await next())['event'] !== name);
    },
  };
}

export async function openQemus(
  t: ExecutionContext,
  qmpOf: (vm: string) => string,
  options: Partial<QemuOptions> = {},
): Promise<QemuHypervisor> {
  const hypervisor = await QemuHypervisor.open({
    vms: vms.map((vm) => ({ vm, qmp: qmpOf(vm.name) })),
    controller: 'pvscsi',
    hasContextIds: false,
    logger: silentLogger,
    ...options,
  });
  t.teardown(() => hypervisor[Symbol.dispose]());
  return hypervisor;
}
