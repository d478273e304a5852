/** One command to QEMU's monitor (QMP), on a connection of its own, of which there can be one at a time. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { deadline } from '../../common/deadline.ts';

const answerMs = 20_000;

/** @returns what QEMU answers */
export async function askMonitor(
  path: string,
  execute: string,
  args: Readonly<Record<string, unknown>> = {},
): Promise<unknown> {
  using limit = deadline(answerMs, `QEMU's answer to ${execute}`);
  const { signal } = limit;
  const socket = connect(path);
  try {
    const lines = createInterface({ input: socket, signal });
    // A greeting, an answer to each command, and whatever happens meanwhile.
    const answers = lines[Symbol.asyncIterator]();
    socket.write(`{"execute":"qmp_capabilities"}\n${JSON.stringify({ execute, arguments: args })}\n`);
    for (let isNext = false; ;) {
      const { value } = (await answers.next()) as { value: string | undefined };
      signal.throwIfAborted();
      if (value === undefined) throw new Error(`QEMU has closed its monitor before it answered ${execute}`);
      const message = JSON.parse(value) as { readonly error?: unknown; readonly return?: unknown };
      if (message.error !== undefined) throw new Error(`QEMU refuses ${execute}: ${value}`);
      if (message.return === undefined) continue;
      if (isNext) return message.return;
      isNext = true;
    }
  } finally {
    socket.destroy();
    await once(socket, 'close');
  }
}
