/** What a service manager hears: a real datagram socket, read by a Python program since Node has none. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { ExecutionContext } from 'ava';
import { abortable, deadline } from '../../../common/deadline.ts';

const program = `
import socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
name = sys.argv[1]
listener.bind('\\0' + name[1:] if name.startswith('@') else name)
print('listening', flush=True)
while True:
    print(listener.recv(65536).decode(), flush=True)
`;

export class NotifyListener {
  /** In their order. */
  readonly messages: string[] = [];
  readonly #child: ChildProcessByStdio<null, Readable, null>;
  readonly #heard = new EventTarget();

  /** @param address a path, or '@' and an abstract name */
  static async open(t: ExecutionContext, address: string): Promise<NotifyListener> {
    const command = ['--pdeathsig', 'TERM', '--', 'python3', '-c', program, address];
    const child = spawn('setpriv', command, { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = once(child, 'exit');
    t.teardown(async () => {
      child.kill('SIGKILL');
      await ended;
    });
    const listener = new NotifyListener(child);
    await listener.until((messages) => messages.includes('listening'));
    listener.messages.length = 0;
    return listener;
  }

  private constructor(child: ChildProcessByStdio<null, Readable, null>) {
    this.#child = child;
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.messages.push(line);
      this.#heard.dispatchEvent(new Event('heard'));
    });
  }

  /** While it is stopped, what is sent to it stays in its queue. */
  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(name);
  }

  async until(isSo: (messages: readonly string[]) => boolean, timeoutMs = 40_000): Promise<void> {
    using limit = deadline(timeoutMs, 'what the service manager is to hear');
    while (!isSo(this.messages)) {
      const next = once(this.#heard, 'heard', { signal: limit.signal });
      await abortable(next, limit.signal).catch((error: unknown) => {
        throw new Error(`heard only: ${JSON.stringify(this.messages)}`, { cause: error });
      });
    }
  }
}
