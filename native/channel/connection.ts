/**
 * Framed messages over one stream. Invariants: each message goes out as one whole frame, in the order of `send`; after
 * `closed` is aborted no message is handed out or sent; a peer that does not read, or does not finish a frame that it
 * began, costs at most `maxQueuedBytes` and `frameTimeoutMs` and then the connection. It may be idle between frames for
 * as long as it likes. The reason of its end is a Fault, logged once, and the reason of `closed`.
 *
 * With `takesTurns`, a peer that sends much is read one chunk in each turn of the event loop, so that it makes no other
 * peer wait; and one that does not take what it is sent is not read meanwhile, so that it makes us queue no more. Only
 * one end of a connection may do so: two that wait for each other to read would wait for ever.
 */
import type { Duplex } from 'node:stream';
import { Fault, faultOf, messageOf } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import { encodeFrame, FrameDecoder } from './frame.ts';

export interface ConnectionOptions {
  readonly logger: Logger;
  /** How long a frame may take from its first byte to its last, and the last frames of an ending connection to leave. */
  readonly frameTimeoutMs?: number;
  /** Output that waits for the peer beyond this ends the connection. */
  readonly maxQueuedBytes?: number;
  readonly takesTurns?: boolean;
  readonly onMessage: (message: unknown) => void;
}

const defaults = { frameTimeoutMs: 30_000, maxQueuedBytes: 8 * 1024 * 1024 };
/** A peer whose bytes come in smaller chunks has no more to read just now. */
const largeChunkBytes = 32 * 1024;

export class Connection {
  readonly #stream: Duplex;
  readonly #logger: Logger;
  readonly #frameTimeoutMs: number;
  readonly #maxQueuedBytes: number;
  readonly #takesTurns: boolean;
  readonly #onMessage: (message: unknown) => void;
  readonly #decoder = new FrameDecoder();
  readonly #closing = new AbortController();
  #frameTimer: NodeJS.Timeout | undefined;
  #isEnding = false;

  /** Takes the stream over: it ends with the connection. */
  constructor(stream: Duplex, options: ConnectionOptions) {
    this.#stream = stream;
    this.#logger = options.logger;
    this.#frameTimeoutMs = options.frameTimeoutMs ?? defaults.frameTimeoutMs;
    this.#maxQueuedBytes = options.maxQueuedBytes ?? defaults.maxQueuedBytes;
    this.#takesTurns = options.takesTurns ?? false;
    this.#onMessage = options.onMessage;
    stream.on('data', (chunk: Buffer) => this.#read(chunk));
    stream.on('end', () => this.#peerEnded());
    const onClose = (): void => this.destroy(new Fault('HostUnavailable', 'the connection was closed'));
    stream.on('close', onClose);
    if (stream.destroyed) process.nextTick(onClose);
    stream.on('error', (error) => {
      this.destroy(new Fault('HostUnavailable', `the connection failed: ${messageOf(error)}`, { cause: error }));
    });
  }

  /** Aborted with a Fault when the connection is over, whoever ended it. */
  get closed(): AbortSignal {
    return this.#closing.signal;
  }

  /** Does nothing when the connection is over or ending. @throws Fault InvalidRequest when the message is too large */
  send(message: unknown): void {
    this.sendFrame(encodeFrame(message));
  }

  /** For a message that goes to many: its frame needs encoding only once. */
  sendFrame(frame: Buffer): void {
    if (this.#isEnding || this.closed.aborted) return;
    this.#stream.write(frame);
    const queued = this.#stream.writableLength;
    if (queued > this.#maxQueuedBytes) {
      this.destroy(new Fault('Busy', `the peer does not read; ${queued} bytes waited for it`));
    }
  }

  /** Sends what is queued, then ends. Messages are read no more. */
  end(reason: Fault): void {
    if (this.#isEnding || this.closed.aborted) return;
    this.#isEnding = true;
    this.#startTimer('the peer did not take the last messages');
    this.#stream.end(() => this.destroy(reason));
    // What comes in is dropped, but has to be taken: with bytes unread, closing may cut off the last messages.
    this.#stream.resume();
  }

  /** Ends at once; what is queued is dropped. */
  destroy(reason: Fault): void {
    if (this.closed.aborted) return;
    clearTimeout(this.#frameTimer);
    const isQuiet = reason.class === 'unreachable' || reason.class === 'cancelled';
    this.#logger[isQuiet ? 'debug' : 'warn']('connection ended', failureFields(reason));
    this.#stream.destroy();
    this.#closing.abort(reason);
  }

  #read(chunk: Buffer): void {
    if (this.closed.aborted || this.#isEnding) return;
    try {
      this.#decoder.push(chunk, (message) => {
        clearTimeout(this.#frameTimer);
        this.#frameTimer = undefined;
        if (!this.closed.aborted && !this.#isEnding) this.#onMessage(message);
      });
    } catch (error) {
      this.destroy(faultOf(error));
      return;
    }
    if (this.#takesTurns) this.#takeTurns(chunk.length);
    if (this.#decoder.isMidFrame && !this.#frameTimer) this.#startTimer('the peer did not complete a frame');
  }

  #takeTurns(chunkBytes: number): void {
    if (this.closed.aborted || this.#isEnding) return;
    if (this.#stream.writableNeedDrain) {
      this.#stream.pause();
      this.#startTimer('the peer did not take what it was sent');
      this.#stream.once('drain', () => this.#readOn());
    } else if (chunkBytes >= largeChunkBytes) {
      this.#stream.pause();
      setImmediate(() => this.#stream.resume());
    }
  }

  /** The time that a frame may take begins again: it was not the peer who paused. */
  #readOn(): void {
    if (this.closed.aborted || this.#isEnding) return;
    clearTimeout(this.#frameTimer);
    this.#frameTimer = undefined;
    if (this.#decoder.isMidFrame) this.#startTimer('the peer did not complete a frame');
    this.#stream.resume();
  }

  #peerEnded(): void {
    if (this.#isEnding) return;
    const fault = this.#decoder.isMidFrame
      ? new Fault('InvalidRequest', 'the peer ended the connection in the middle of a frame')
      : new Fault('HostUnavailable', 'the peer ended the connection');
    this.destroy(fault);
  }

  #startTimer(what: string): void {
    clearTimeout(this.#frameTimer);
    this.#frameTimer = setTimeout(() => {
      this.destroy(new Fault('DeadlineExceeded', `${what} within ${this.#frameTimeoutMs / 1000} s`));
    }, this.#frameTimeoutMs);
  }
}
