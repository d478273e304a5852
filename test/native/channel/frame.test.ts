import test from 'ava';
import fc from 'fast-check';
import { Fault } from '../../../common/fault.ts';
import { encodeFrame, FrameDecoder, frameMagic, maxBodyBytes } from '../../../native/channel/frame.ts';

const json = fc.jsonValue({ maxDepth: 4 });

/** What came out of the pieces, and the fault that ended it. */
function decode(pieces: readonly Buffer[]): { values: unknown[]; code: string | undefined; isMidFrame: boolean } {
  const decoder = new FrameDecoder();
  const values: unknown[] = [];
  try {
    for (const piece of pieces) decoder.push(Buffer.from(piece), (value) => values.push(value));
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { values, code: error.code, isMidFrame: decoder.isMidFrame };
  }
  return { values, code: undefined, isMidFrame: decoder.isMidFrame };
}

function splitAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...places].map((from, index) => bytes.subarray(from, places[index] ?? bytes.length));
}

function frameOf(body: Buffer, { magic = frameMagic, length = body.length } = {}): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(magic, 0);
  header.writeUInt32LE(length, 4);
  return Buffer.concat([header, body]);
}

test('frame: has the layout that the archived product reads', (t) => {
  const frame = encodeFrame({ a: 'ü' });
  const body = Buffer.from('{"a":"ü"}\0');
  t.deepEqual(frame, Buffer.concat([Buffer.from([0xef, 0xbe, 0xad, 0x0b, body.length, 0, 0, 0]), body]));
});

test('frame: any JSON values decode to themselves, however their bytes are split', (t) => {
  fc.assert(
    fc.property(fc.array(json, { maxLength: 5 }), fc.array(fc.nat(), { maxLength: 12 }), (values, cuts) => {
      const bytes = Buffer.concat(values.map((value) => encodeFrame(value)));
      const { values: decoded, code, isMidFrame } = decode(splitAt(bytes, cuts));
      t.is(code, undefined);
      t.false(isMidFrame);
      t.is(JSON.stringify(decoded), JSON.stringify(values));
    }),
  );
});

test('frame: every single split of two frames gives the same two values', (t) => {
  const bytes = Buffer.concat([encodeFrame({ first: '€' }), encodeFrame(['second', null])]);
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const { values } = decode([bytes.subarray(0, cut), bytes.subarray(cut)]);
    t.deepEqual(values, [{ first: '€' }, ['second', null]], `cut at ${cut}`);
  }
});

test('frame: one byte at a time gives the same values, and says when it is in the middle', (t) => {
  const decoder = new FrameDecoder();
  const bytes = encodeFrame({ text: 'x'.repeat(5000) });
  const values: unknown[] = [];
  for (const [index, byte] of bytes.entries()) {
    t.is(decoder.isMidFrame, index > 0);
    decoder.push(Buffer.from([byte]), (value) => values.push(value));
  }
  t.false(decoder.isMidFrame);
  t.deepEqual(values, [{ text: 'x'.repeat(5000) }]);
});

test('frame: a value keeps nothing of the chunk, which may be re-used', (t) => {
  const decoder = new FrameDecoder();
  const bytes = encodeFrame({ text: 'abcdef' });
  const values: unknown[] = [];
  for (const part of [bytes.subarray(0, 12), bytes.subarray(12)]) {
    const chunk = Buffer.from(part);
    decoder.push(chunk, (value) => values.push(value));
    chunk.fill(0xff);
  }
  t.deepEqual(values, [{ text: 'abcdef' }]);
});

test('frame: random bytes end in a Fault or wait for more, never in another error', (t) => {
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
    fc.uint8Array({ minLength: 1, maxLength: 64 }).map((bytes) => frameOf(Buffer.from(bytes))),
    fc.uint8Array({ maxLength: 64 }).map((bytes) => frameOf(Buffer.concat([Buffer.from(bytes), Buffer.from([0])]))),
  );
  fc.assert(
    fc.property(fc.array(noise, { maxLength: 4 }), fc.array(fc.nat(), { maxLength: 6 }), (parts, cuts) => {
      const { code } = decode(splitAt(Buffer.concat(parts), cuts));
      t.true(code === undefined || code === 'InvalidRequest' || code === 'ProtocolMismatch');
    }),
    { numRuns: 500 },
  );
});

test('frame: values before a broken frame are handed out, wherever the bytes are split', (t) => {
  const bytes = Buffer.concat([encodeFrame(1), encodeFrame(2), frameOf(Buffer.from('{]\0')), encodeFrame(3)]);
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const { values, code } = decode([bytes.subarray(0, cut), bytes.subarray(cut)]);
    t.deepEqual({ values, code }, { values: [1, 2], code: 'InvalidRequest' }, `cut at ${cut}`);
  }
});

for (const [what, bytes, code] of [
  ['a wrong magic word', frameOf(Buffer.from('1\0'), { magic: 0xbadbee }), 'ProtocolMismatch'],
  ['an HTTP request', Buffer.from('GET '), 'ProtocolMismatch'],
  ['length 0', frameOf(Buffer.alloc(0)), 'InvalidRequest'],
  ['no NUL at its end', frameOf(Buffer.from('12')), 'InvalidRequest'],
  ['nothing but a NUL', frameOf(Buffer.from('\0')), 'InvalidRequest'],
  ['a NUL inside', frameOf(Buffer.from('1\0 \0')), 'InvalidRequest'],
  ['broken JSON', frameOf(Buffer.from('{"a":\0')), 'InvalidRequest'],
  ['invalid UTF-8', frameOf(Buffer.from([0x22, 0xc3, 0x28, 0x22, 0])), 'InvalidRequest'],
  ['a byte order mark', frameOf(Buffer.from('\ufeff1\0')), 'InvalidRequest'],
] as const) {
  test(`frame: ${what} is a Fault, at any split, and for ever`, (t) => {
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      t.is(decode([bytes.subarray(0, cut), bytes.subarray(cut)]).code, code);
    }
    const decoder = new FrameDecoder();
    const first = t.throws(() => decoder.push(bytes, () => undefined), { instanceOf: Fault });
    const again = t.throws(() => decoder.push(encodeFrame(1), () => undefined));
    t.is(again, first);
  });
}

test('frame: one that is too long is refused as soon as its header is known', (t) => {
  const header = frameOf(Buffer.alloc(0), { length: maxBodyBytes + 1 });
  t.is(decode([header]).code, 'InvalidRequest');
  t.deepEqual(decode([frameOf(Buffer.alloc(0), { length: maxBodyBytes })]), {
    values: [],
    code: undefined,
    isMidFrame: true,
  });
});

test('frame: the largest value passes, one byte more is refused by the encoder', (t) => {
  const largest = 'x'.repeat(maxBodyBytes - 3);
  t.is(decode([encodeFrame(largest)]).values[0], largest);
  const fault = t.throws(() => encodeFrame(`${largest}x`), { instanceOf: Fault });
  t.is(fault.code, 'InvalidRequest');
});

test('frame: JSON nested a hundred thousand deep does not crash the decoder', (t) => {
  const depth = 100_000;
  const body = Buffer.from(`${'['.repeat(depth)}${']'.repeat(depth)}\0`);
  t.is(decode([frameOf(body)]).values.length, 1);
});

test('frame: a megabyte in tiny chunks is not copied again and again', (t) => {
  const bytes = encodeFrame('x'.repeat(maxBodyBytes - 3));
  const decoder = new FrameDecoder();
  let count = 0;
  const before = process.cpuUsage();
  for (let from = 0; from < bytes.length; from += 4) decoder.push(bytes.subarray(from, from + 4), () => (count += 1));
  t.is(count, 1);
  const { user, system } = process.cpuUsage(before);
  t.true(user + system < 5_000_000, 'joining all chunks anew for each would copy 130 GB');
});
