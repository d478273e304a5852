/** Docker rule 7: a client that hangs up before its answer was written never unmounts, so its Mount is taken back. */
import test from 'ava';
import fc from 'fast-check';
import { Fault } from '../../../common/fault.ts';
import { OpenDoor } from './open-door.ts';
import { head } from './raw-client.ts';

const mountA = '{"Name":"db","ID":"a"}\n';

test('docker rule 7: a hang-up while the driver mounts aborts its signal, and no reference is left', async (t) => {
  await using door = await OpenDoor.open();
  const client = await door.client();
  const gate = door.driver.holdNext('mount');
  client.post('/VolumeDriver.Mount', mountA);
  await gate.entered;
  const [signal] = door.driver.signals;
  const aborted = new Promise((resolve) => signal?.addEventListener('abort', resolve));
  client.hangUp();
  await aborted;
  gate.open();
  const line = await door.logger.line(({ fields }) => fields['op'] === 'Mount');
  t.is(line.fields['code'], 'Cancelled');
  t.deepEqual(door.driver.ids('db'), []);
  t.deepEqual(door.driver.calls, ['mount db a']);
});

test('docker rule 7: a client that stops sending before its answer counts as hung up', async (t) => {
  await using door = await OpenDoor.open();
  const client = await door.client();
  const gate = door.driver.holdNext('mount');
  client.post('/VolumeDriver.Mount', mountA);
  await gate.entered;
  client.endSending();
  await client.closed;
  gate.open();
  await door.logger.line(({ fields }) => fields['op'] === 'Mount');
  t.deepEqual(door.driver.ids('db'), []);
});

test('docker rule 7: a Mount that succeeded although its caller had gone is unmounted', async (t) => {
  await using door = await OpenDoor.open();
  const client = await door.client();
  // This one does not look at the signal: it took its reference in the very moment of the hang-up.
  const gate = door.driver.holdNext('mount');
  door.driver.mount = async (name, id, caller) => {
    const aborted = new Promise((resolve) => caller.addEventListener('abort', resolve));
    client.hangUp();
    await aborted;
    door.driver.volumes.get(name)?.ids.push(id);
    gate.open();
    return '/mnt/vmdk/db';
  };
  client.post('/VolumeDriver.Mount', mountA);
  const line = await door.logger.line(({ fields }) => fields['op'] === 'Mount' && 'code' in fields);
  t.is(line.fields['code'], 'Cancelled');
  t.deepEqual(door.driver.calls, ['unmount db a']);
  t.deepEqual(door.driver.ids('db'), []);
  t.false(
    door.driver.signals.at(-1)?.aborted,
    'the way back must not run under the signal of the caller that has gone',
  );
});

test('docker rule 7: taking back is tried in vain loudly', async (t) => {
  await using door = await OpenDoor.open();
  const client = await door.client();
  door.driver.failNext('unmount', new Fault('VolumeInUse', 'something still uses it'));
  door.driver.mount = async (_name, _id, caller) => {
    const aborted = new Promise((resolve) => caller.addEventListener('abort', resolve));
    client.hangUp();
    await aborted;
    return '/mnt/vmdk/db';
  };
  client.post('/VolumeDriver.Mount', mountA);
  const line = await door.logger.line(({ level }) => level === 'warn');
  t.is(line.fields['error'], 'something still uses it');
});

test('docker rule 7: a Mount that waits behind another answer of its connection is taken back too', async (t) => {
  await using door = await OpenDoor.open();
  const client = await door.client();
  const first = door.driver.holdNext('create');
  client.post('/VolumeDriver.Create', '{"Name":"web"}');
  client.post('/VolumeDriver.Mount', mountA);
  await Promise.all([first.entered, door.driver.called('mount db a')]);
  client.hangUp();
  await door.driver.called('unmount db a');
  await door.logger.line(({ fields }) => fields['op'] === 'Mount' && fields['code'] === 'Cancelled');
  t.deepEqual(door.driver.ids('db'), []);
  first.open();
});

test('docker rule 7: an answered Mount stays when its connection ends afterwards', async (t) => {
  await using door = await OpenDoor.open();
  const client = await door.client();
  client.post('/VolumeDriver.Mount', mountA);
  t.is((await client.answer())?.status, 200);
  client.hangUp();
  await client.closed;
  await door.ask('/VolumeDriver.List', {});
  t.deepEqual(door.driver.ids('db'), ['a']);
  t.false(door.driver.signals[0]?.aborted);
});

test('docker rule 7: whatever part of a Mount arrives before the hang-up, no reference is left', async (t) => {
  await using door = await OpenDoor.open();
  const whole = head('POST', '/VolumeDriver.Mount', mountA.length) + mountA;
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: whole.length }), async (length) => {
      const client = await door.client();
      const gate = door.driver.holdNext('mount');
      client.send(whole.slice(0, length));
      if (length === whole.length) await gate.entered;
      client.hangUp();
      await client.closed;
      gate.open();
      // The next Mount is served after the lost one: its answer shows what the lost one left.
      await door.ask('/VolumeDriver.Mount', { Name: 'db', ID: 'next' });
      await door.ask('/VolumeDriver.Unmount', { Name: 'db', ID: 'next' });
      t.false(door.driver.ids('db').includes('a'));
    }),
    { numRuns: 60, examples: [[whole.length], [0], [whole.length - 1]] },
  );
});

for (const verb of ['create', 'remove', 'unmount'] as const) {
  test(`a hang-up during ${verb} is told to the driver, which decides`, async (t) => {
    await using door = await OpenDoor.open();
    const client = await door.client();
    const gate = door.driver.holdNext(verb);
    client.post(`/VolumeDriver.${verb.charAt(0).toUpperCase()}${verb.slice(1)}`, mountA);
    await gate.entered;
    const [signal] = door.driver.signals;
    const aborted = new Promise((resolve) => signal?.addEventListener('abort', resolve));
    client.hangUp();
    await aborted;
    gate.open();
    const line = await door.logger.line(({ fields }) => 'code' in fields);
    t.is(line.fields['code'], 'Cancelled');
    t.is(door.driver.calls.length, 1);
  });
}
