/** One command to QEMU's monitor (QMP), on a connection of its own, of which there can be one at a time. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { deadline } from '../../common/deadline.ts';

const answerMs = 20_000;

export async function askMonitor(path: string, command: string): Promise<void> {
  using limit = deadline(answerMs, `QEMU's answer to ${command}`);
  const { signal } = limit;
  const socket = connect(path);
  try {
    const lines = createInterface({ input: socket, signal });
    // A greeting, an answer to each command, and whatever happens meanwhile.
    const answers = lines[Symbol.asyncIterator]();
    socket.write(`{"execute":"qmp_capabilities"}\n{"execute":"${command}"}\n`);
    for (let wanted = 2; wanted > 0;) {
      const { value } = (await answers.next()) as { value: string | undefined };
      signal.throwIfAborted();
      if (value === undefined) throw new Error(`QEMU has closed its monitor before it answered ${command}`);
      if (value.startsWith('{"error"')) throw new Error(`QEMU refuses ${command}: ${value}`);
      if (value.startsWith('{"return"')) wanted -= 1;
    }
  } finally {
    socket.destroy();
    await once(socket, 'close');
  }
}
