/**
 * The frame codec: `u32 LE magic, u32 LE length, body`, where the body is UTF-8 JSON and a NUL, and the length counts
 * both. Pure: no socket, no clock. Invariants: what was encoded decodes to the same JSON however its bytes were split;
 * no byte is copied more than once; values before a broken frame are handed out, nothing after it is.
 */
import { Fault, messageOf } from '../../common/fault.ts';

export const frameMagic = 0x0badbeef;
/** Of the body, with its terminating NUL. */
export const maxBodyBytes = 1024 * 1024;
const magicBytes = 4;
const headerBytes = 8;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * One whole frame in one buffer.
 * @throws Fault InvalidRequest when the value is larger than a frame may be
 */
export function encodeFrame(value: unknown): Buffer {
  const json = JSON.stringify(value) as string | undefined;
  if (json === undefined) throw new Fault('Internal', 'a message that JSON cannot express');
  const length = Buffer.byteLength(json) + 1;
  if (length > maxBodyBytes) {
    throw new Fault('InvalidRequest', `message of ${length} bytes; a frame holds at most ${maxBodyBytes}`);
  }
  const frame = Buffer.allocUnsafe(headerBytes + length);
  frame.writeUInt32LE(frameMagic, 0);
  frame.writeUInt32LE(length, magicBytes);
  frame.write(json, headerBytes);
  frame[headerBytes + length - 1] = 0;
  return frame;
}

/** Takes a stream of bytes apart. After it threw it is spent: every further push throws the same fault. */
export class FrameDecoder {
  readonly #header = Buffer.alloc(headerBytes);
  #headerFill = 0;
  /** Known once the header is complete. */
  #length = 0;
  /** Collects a body that came in pieces; one that came whole is read in place. */
  #body: Buffer | undefined;
  #bodyFill = 0;
  #fault: Fault | undefined;

  /** Whether a frame has begun that is not complete. */
  get isMidFrame(): boolean {
    return this.#headerFill > 0;
  }

  /**
   * Hands each value that the chunk completes to `onValue`, in order. The chunk may be re-used afterwards.
   * @throws Fault ProtocolMismatch on a wrong magic word, InvalidRequest on any other broken frame
   */
  push(chunk: Buffer, onValue: (value: unknown) => void): void {
    if (this.#fault) throw this.#fault;
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#headerFill < headerBytes) {
        rest = this.#takeHeader(rest);
        continue;
      }
      const missing = this.#length - this.#bodyFill;
      const body = this.#takeBody(rest.subarray(0, missing));
      rest = rest.subarray(missing);
      if (body) onValue(this.#parse(body));
    }
  }

  #takeHeader(chunk: Buffer): Buffer {
    const count = chunk.copy(this.#header, this.#headerFill);
    this.#headerFill += count;
    if (this.#headerFill >= magicBytes && this.#header.readUInt32LE(0) !== frameMagic) {
      this.#fail('ProtocolMismatch', 'frame with a wrong magic word; the peer speaks another protocol');
    }
    if (this.#headerFill === headerBytes) {
      this.#length = this.#header.readUInt32LE(magicBytes);
      if (this.#length === 0) this.#fail('InvalidRequest', 'frame without a body');
      if (this.#length > maxBodyBytes) {
        this.#fail('InvalidRequest', `frame of ${this.#length} bytes; at most ${maxBodyBytes} are allowed`);
      }
    }
    return chunk.subarray(count);
  }

  /** The body once it is complete; the decoder is then ready for the next header. */
  #takeBody(piece: Buffer): Buffer | undefined {
    let body = piece;
    if (piece.length < this.#length) {
      body = this.#body ??= Buffer.allocUnsafe(this.#length);
      this.#bodyFill += piece.copy(body, this.#bodyFill);
      if (this.#bodyFill < this.#length) return undefined;
    }
    this.#headerFill = 0;
    this.#body = undefined;
    this.#bodyFill = 0;
    return body;
  }

  #parse(body: Buffer): unknown {
    if (body[body.length - 1] !== 0) this.#fail('InvalidRequest', 'frame without its terminating NUL');
    try {
      return JSON.parse(utf8.decode(body.subarray(0, -1))) as unknown;
    } catch (error) {
      const what = error instanceof SyntaxError ? 'broken JSON' : 'invalid UTF-8';
      return this.#fail('InvalidRequest', `frame with ${what}: ${messageOf(error)}`, error);
    }
  }

  #fail(code: 'InvalidRequest' | 'ProtocolMismatch', message: string, cause?: unknown): never {
    this.#fault = new Fault(code, message, { cause });
    throw this.#fault;
  }
}
