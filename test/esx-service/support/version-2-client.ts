/**
 * A guest of the archived product, byte by byte: its frames are written out here as its C library made them, and not by
 * our codec. Each byte goes out by itself.
 */
import { once } from 'node:events';
import type { Duplex } from 'node:stream';

/** Magic 0x0badbeef and length (of the text and its NUL), little-endian; then the text and the NUL. */
export function bytesOf(text: string): number[] {
  const body = [...Buffer.from(text), 0];
  const length = [body.length & 0xff, (body.length >> 8) & 0xff, (body.length >> 16) & 0xff, body.length >> 24];
  return [0xef, 0xbe, 0xad, 0x0b, ...length, ...body];
}

/** The body of the one frame that came back, without its NUL; checked as the archived client did. */
function bodyOf(reply: Buffer): string {
  const length = reply.readUInt32LE(4);
  if (reply.readUInt32LE(0) !== 0x0badbeef || reply.length !== 8 + length || reply.at(-1) !== 0) {
    throw new Error(`no frame of version 2: ${reply.toString('hex')}`);
  }
  return reply.toString('utf8', 8, 8 + length - 1);
}

/** One request on a connection of its own, which ends with it. */
export async function askOn(socket: Duplex, text: string, beforeEach: () => Promise<unknown>): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  const closed = once(socket, 'close');
  for (const byte of bytesOf(text)) {
    await beforeEach();
    const { promise, resolve } = Promise.withResolvers<undefined>();
    socket.write(Uint8Array.of(byte), () => resolve(undefined));
    await promise;
  }
  await closed;
  return bodyOf(Buffer.concat(chunks));
}
