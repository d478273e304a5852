/**
 * Other programs, run without stopping the event loop to start them and without a shell.
 *
 * Invariants: when a run has ended, in whatever way, nobody of the program's process group runs any more, and it has
 * been reaped; an abort kills, but the promise waits for the end of what it killed. Only the end of the output is kept.
 * Left to callers: a program in the middle of a system call that cannot be interrupted, as on a disk that does not
 * answer, ends only with that call, and so does its run.
 */
import { once } from 'node:events';
import { Socket } from 'node:net';
import { cString, libvmci } from './ffi.ts';
import { checked } from './system-error.ts';

export interface ProgramRequest {
  /** Absolute. */
  readonly path: string;
  /** Without the program's own name. */
  readonly args: readonly string[];
  /** All of its environment; none when left out. */
  readonly env?: Readonly<Record<string, string>>;
  /** Of what it writes to its output and error output, so many bytes are kept; 64 KiB when left out. */
  readonly outputLimitBytes?: number;
  /** Keeps its error output only. */
  readonly ignoresStdout?: boolean;
}

export interface ProgramEnd {
  /** Undefined when a signal ended it. */
  readonly code: number | undefined;
  /** Undefined when it ended by itself. */
  readonly signal: number | undefined;
  /** Both outputs as they came. */
  readonly output: string;
}

const defaultOutputLimitBytes = 64 * 1024;
const recordBytes = 4;
const signalled = 256;
const startCall = libvmci.function(
  'vmci_child_start',
  ...(['pointer', 'pointer', 'uint32', 'pointer', 'uint32', 'uint32', 'uint32'] as const),
);

/** Strings as C takes them, one behind the other; never without memory, which would have no address. */
function block(texts: readonly string[]): Buffer {
  return texts.length === 0 ? cString('') : Buffer.concat(texts.map(cString));
}

function start({ path, args, env = {}, outputLimitBytes, ignoresStdout = false }: ProgramRequest): Socket {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const descriptor = startCall.now(
    cString(path),
    block([path, ...args]),
    args.length + 1,
    block(variables),
    variables.length,
    Number(ignoresStdout),
    outputLimitBytes ?? defaultOutputLimitBytes,
  );
  return new Socket({ fd: checked(descriptor, 'spawn', path), readable: true, writable: true, allowHalfOpen: true });
}

/** Bytes are dropped without regard to characters, so the first one kept may be half of one. */
function wholeCharacters(bytes: Buffer, limitBytes: number): Buffer {
  const isContinuation = (byte: number): boolean => (byte & 0b1100_0000) === 0b1000_0000;
  const first = bytes.length < limitBytes ? 0 : bytes.findIndex((byte) => !isContinuation(byte));
  return first < 0 ? Buffer.alloc(0) : bytes.subarray(first);
}

function decode(bytes: Buffer, { path, outputLimitBytes = defaultOutputLimitBytes }: ProgramRequest): ProgramEnd {
  const outputBytes = bytes.length - recordBytes;
  if (outputBytes < 0) throw new Error(`the thread behind ${path} has ended without a word`);
  const status = checked(bytes.readInt32LE(outputBytes), 'spawn', path);
  const isSignal = status >= signalled;
  return {
    code: isSignal ? undefined : status,
    signal: isSignal ? status - signalled : undefined,
    output: wholeCharacters(bytes.subarray(0, outputBytes), outputLimitBytes).toString(),
  };
}

/**
 * Runs it to its end; an abort kills it with all of its process group.
 * @throws the signal's reason, once all that was killed is gone; or the system's error when it could not be started
 */
export async function runProgram(request: ProgramRequest, signal: AbortSignal): Promise<ProgramEnd> {
  signal.throwIfAborted();
  const socket = start(request);
  const chunks: Buffer[] = [];
  // Only our writing side: what comes until the end is still to be read, and the end is that it is gone.
  const kill = (): void => void socket.end();
  signal.addEventListener('abort', kill, { once: true });
  try {
    await once(
      socket.on('data', (chunk: Buffer) => chunks.push(chunk)),
      'end',
    );
  } finally {
    signal.removeEventListener('abort', kill);
    socket.destroy();
  }
  signal.throwIfAborted();
  return decode(Buffer.concat(chunks), request);
}
