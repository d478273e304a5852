import test from 'ava';
import fc from 'fast-check';
import { parseUevent, type Uevent, UeventDecoder } from '../../native/uevent-records.ts';

function message(...lines: string[]): Buffer {
  return Buffer.from(lines.map((line) => `${line}\0`).join(''));
}

function record(body: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(body.length);
  return Buffer.concat([length, body]);
}

const added = message('add@/block/sda', 'ACTION=add', 'DEVPATH=/block/sda', 'SUBSYSTEM=block', 'ID=a=b', 'EMPTY=');

test('uevent: its properties are told, with whatever they hold', (t) => {
  const event = parseUevent(added);
  t.like(event, { action: 'add', devpath: '/block/sda', subsystem: 'block' });
  t.is(event?.properties.get('ID'), 'a=b');
  t.is(event?.properties.get('EMPTY'), '');
});

test('uevent: a message of another form is none', (t) => {
  t.is(parseUevent(message('libudev', 'ACTION=add')), undefined);
  t.is(parseUevent(Buffer.alloc(0)), undefined);
});

test('uevents: however the stream is cut, every event and gap comes once and in order', (t) => {
  const bodies = fc.array(fc.option(fc.integer({ min: 0, max: 300 }), { nil: undefined }), { maxLength: 20 });
  const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 });
  fc.assert(
    fc.property(bodies, cuts, (numbers, sizes) => {
      const stream = Buffer.concat(
        numbers.map((number) =>
          record(number === undefined ? Buffer.alloc(0) : message('x', 'ACTION=add', `DEVPATH=${'d'.repeat(number)}`)),
        ),
      );
      const decoder = new UeventDecoder();
      const events: (Uevent | 'overflow')[] = [];
      for (let offset = 0, turn = 0; offset < stream.length; turn++) {
        const end = offset + (sizes[turn % sizes.length] ?? 1);
        events.push(...decoder.push(stream.subarray(offset, end)));
        offset = end;
      }
      t.deepEqual(
        events.map((event) => (event === 'overflow' ? undefined : event.devpath.length)),
        numbers,
      );
    }),
  );
});
