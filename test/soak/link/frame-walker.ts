/**
 * Follows the frames of a stream without changing it, and knows nothing of the product's codec. Invariant: `offset` is
 * the number of bytes of the current frame that were taken, 0 between two frames.
 */
const headerBytes = 8;
const lengthPlace = 4;

export interface Taken {
  readonly bytes: number;
  /** The whole frame, when these bytes completed it. */
  readonly frame: Buffer | undefined;
}

export class FrameWalker {
  #pieces: Buffer[] = [];
  #offset = 0;
  #length: number | undefined;

  get offset(): number {
    return this.#offset;
  }

  /** Takes bytes of one frame, at most so many. */
  take(chunk: Buffer, most: number): Taken {
    const missing = (this.#length ?? headerBytes) - this.#offset;
    const piece = chunk.subarray(0, Math.min(missing, most, chunk.length));
    this.#pieces.push(piece);
    this.#offset += piece.length;
    if (this.#offset === headerBytes && this.#length === undefined) {
      const header = Buffer.concat(this.#pieces);
      this.#length = headerBytes + header.readUInt32LE(lengthPlace);
    }
    if (this.#offset !== this.#length) return { bytes: piece.length, frame: undefined };
    const frame = Buffer.concat(this.#pieces);
    [this.#pieces, this.#offset, this.#length] = [[], 0, undefined];
    return { bytes: piece.length, frame };
  }
}

export type Seen =
  | {
      readonly kind: 'command';
      readonly id: number;
      readonly command: string;
      readonly key: string;
      readonly name: string;
    }
  | { readonly kind: 'cancel'; readonly id: number }
  | { readonly kind: 'other' };

/** What a frame from the guest asks for. */
export function readRequest(frame: Buffer): Seen {
  const body = JSON.parse(frame.toString('utf8', headerBytes, frame.length - 1)) as Readonly<Record<string, unknown>>;
  const { cmd, key, id, cancel, args } = body;
  if (typeof cmd === 'string' && typeof id === 'number') {
    const { name = '' } = args as { name?: string };
    return { kind: 'command', id, command: cmd, key: String(key), name };
  }
  return typeof cancel === 'number' ? { kind: 'cancel', id: cancel } : { kind: 'other' };
}
