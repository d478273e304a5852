/**
 * The inner guest's machine. It is started once outside of the outer guest, where it is emulated once only, and its state,
 * saved when it is ready, is what goes on in the outer one: to start under two emulators takes many minutes. Invariant: both
 * machines are the same, but for the vsock device, which only the outer guest can have.
 */
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { abortable, deadline } from '../../common/deadline.ts';
import { QmpConnection } from '../../esx-service/adapters/qmp-connection.ts';
import { OwnedProcess } from './owned-process.ts';

/** What its start script says last. */
const readySign = 'inner guest ready';
const startMs = 90_000;

export interface InnerMachine {
  readonly kernel: string;
  readonly initrd: string;
  /** QEMU's name for where its console goes, without the id. */
  readonly console: string;
  readonly agentSocket: string;
  readonly qmpSocket: string;
}

export function machineArguments(machine: InnerMachine): readonly string[] {
  return [
    ...['-M', 'pc', '-accel', 'tcg', '-cpu', 'max,la57=off', '-smp', '1', '-m', '128'],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-kernel', machine.kernel, '-initrd', machine.initrd, '-append', 'console=ttyS0 quiet panic=-1'],
    ...['-chardev', `${machine.console},id=console`, '-serial', 'chardev:console'],
    ...['-qmp', `unix:${machine.qmpSocket},server=on,wait=off`],
    ...['-chardev', `socket,id=agent,path=${machine.agentSocket},server=on,wait=off`],
    ...['-device', 'virtio-serial-pci,addr=0x3', '-device', 'virtserialport,chardev=agent,name=agent'],
    ...['-device', 'pvscsi,id=vmdk0,addr=0x4'],
  ];
}

/** Writes the state of a machine that has just started to `state` in the folder. */
export async function saveStarted(folder: string, kernel: string, initrd: string): Promise<void> {
  const [qmpSocket, agentSocket] = [join(folder, 'qmp'), join(folder, 'agent')];
  const machine = { kernel, initrd, console: 'stdio,signal=off', agentSocket, qmpSocket };
  await using qemu = new OwnedProcess(['qemu-system-x86_64', ...machineArguments(machine)]);
  using limit = deadline(startMs, 'the start of an inner guest');
  const { signal } = limit;
  await abortable(started(qemu), signal);
  using connection = await QmpConnection.open(qmpSocket, signal);
  if (!connection) throw new Error(`QEMU does not listen: ${qemu.complaints}`);
  const saved = Promise.withResolvers<undefined>();
  using _events = connection.onEvent(({ name, data }) => {
    if (name !== 'MIGRATION') return;
    if (data['status'] === 'completed') saved.resolve(undefined);
    if (data['status'] === 'failed') saved.reject(new Error('QEMU could not save the state'));
  });
  const capabilities = [{ capability: 'events', state: true }];
  await connection.ask('migrate-set-capabilities', { capabilities }, signal);
  await connection.ask('migrate', { uri: `exec:cat > '${join(folder, 'state')}'` }, signal);
  await abortable(saved.promise, signal);
}

async function started(qemu: OwnedProcess): Promise<void> {
  let last = '';
  for await (const line of createInterface({ input: qemu.output })) {
    last = line;
    if (line.includes(readySign)) return;
  }
  throw new Error(`the inner guest does not start: ${last} ${qemu.complaints}`);
}
