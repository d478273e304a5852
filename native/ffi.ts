/**
 * Calls into the C library, and the one file that knows the FFI packages.
 *
 * Invariants: memory that C reads or writes is a Buffer, and is held here until the call has returned; a text handed over
 * ends where it seems to. Left to callers: what may touch a disk, a file system or a lock is called with `later`, never
 * with `now`, which runs on the event loop.
 */
import { fileURLToPath } from 'node:url';
import ffi, { type Library } from 'ffi-napi';
import bindings from 'ffi-napi/lib/bindings.js';
import ref from 'ref-napi';

export type Parameter = 'uint32' | 'uint64' | 'pointer';
type Value = number | Buffer;

/** Every C function here returns a value >= 0, or -errno. */
export interface NativeFunction {
  /** On the event loop: a few microseconds, and for nothing that can block. */
  now(...values: Value[]): number;
  /** On one of libuv's worker threads. */
  later(...values: Value[]): Promise<number>;
}

interface Call {
  /** Pointers to the arguments, then the arguments. */
  readonly frame: Buffer;
  readonly result: Buffer;
  /** The arguments' own memory. */
  readonly values: readonly Value[];
}

const wordBytes = 8;
/** Of this process's calls: nothing else tells the garbage collector that C uses their memory. */
const inFlight = new Set<Call>();

/**
 * The package's own way wraps every argument in objects that the collector has to finalise, which costs ten times the
 * call itself and more than a short system call; so the frame is laid out here.
 */
function prepare(values: readonly Value[], expected: number): Call {
  if (values.length !== expected) throw new TypeError(`${values.length} arguments instead of ${expected}`);
  const argumentsAt = values.length * wordBytes;
  const frame = Buffer.alloc(2 * argumentsAt);
  const address = ref.address(frame) + argumentsAt;
  for (const [index, value] of values.entries()) {
    const word = typeof value === 'number' ? value : ref.address(value);
    frame.writeBigUInt64LE(BigInt(address + index * wordBytes), index * wordBytes);
    frame.writeBigUInt64LE(BigInt(word), argumentsAt + index * wordBytes);
  }
  return { frame, result: Buffer.alloc(wordBytes), values };
}

function finish(call: Call): number {
  inFlight.delete(call);
  return Number(call.result.readBigInt64LE());
}

/** A shared library, opened at its first use. */
export class NativeLibrary {
  readonly #path: string;
  #library: Library | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  function(name: string, ...parameters: readonly Parameter[]): NativeFunction {
    let cif: Buffer | undefined;
    let pointer: Buffer | undefined;
    const count = parameters.length;
    return {
      now: (...values) => {
        pointer ??= this.#open().get(name);
        cif ??= ffi.CIF('int64', parameters);
        const call = prepare(values, count);
        inFlight.add(call);
        bindings.ffi_call(cif, pointer, call.result, call.frame);
        return finish(call);
      },
      later: async (...values) => {
        pointer ??= this.#open().get(name);
        cif ??= ffi.CIF('int64', parameters);
        const call = prepare(values, count);
        inFlight.add(call);
        const { promise, resolve } = Promise.withResolvers<undefined>();
        bindings.ffi_call_async(cif, pointer, call.result, call.frame, () => resolve(undefined));
        await promise;
        return finish(call);
      },
    };
  }

  #open(): Library {
    try {
      return (this.#library ??= new ffi.DynamicLibrary(this.#path, ffi.DynamicLibrary.FLAGS.RTLD_NOW));
    } catch (cause) {
      throw new Error(`${this.#path} cannot be loaded: build it with scripts/build-native.sh`, { cause });
    }
  }
}

/** The same from native/ in the checkout and from a bundle in dist/: both lie beside build/. */
export const libvmci = new NativeLibrary(fileURLToPath(new URL('../build/libvmci.so', import.meta.url)));

/** A C string. A NUL inside would silently name another file, so it is refused. */
export function cString(text: string): Buffer {
  if (text.includes('\0')) {
    throw Object.assign(new TypeError(`A text for the system has a NUL inside: ${JSON.stringify(text)}`), {
      code: 'ERR_INVALID_ARG_VALUE',
    });
  }
  return Buffer.from(`${text}\0`);
}

/** The text in a field of fixed width that C filled, up to its NUL. */
export function textAt(bytes: Buffer, offset: number, width: number): string {
  const field = bytes.subarray(offset, offset + width);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? width : end);
}
