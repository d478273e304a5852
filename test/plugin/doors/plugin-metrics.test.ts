import test from 'ava';
import { Fault } from '../../../common/fault.ts';
import { OpenDoor } from './open-door.ts';

async function samples(door: OpenDoor): Promise<ReadonlyMap<string, number>> {
  const client = await door.client();
  client.get('/metrics');
  const answer = await client.answer();
  const lines = (answer?.body ?? '').split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

test('requests are counted by verb and outcome, and timed', async (t) => {
  await using door = await OpenDoor.open();
  door.driver.failNext('create', new Fault('NoSpace', 'full'));
  await door.ask('/VolumeDriver.Create', { Name: 'web' });
  await door.ask('/VolumeDriver.Create', { Name: 'web' });
  await door.ask('/VolumeDriver.Get', '');
  const seen = await samples(door);
  t.is(seen.get('vmdk_plugin_requests_total{verb="Create",code="ok"}'), 1);
  t.is(seen.get('vmdk_plugin_requests_total{verb="Create",code="NoSpace"}'), 1);
  t.is(seen.get('vmdk_plugin_requests_total{verb="Get",code="OutcomeUnknown"}'), 1);
  t.is(seen.get('vmdk_plugin_request_seconds_count{verb="Create"}'), 2);
});

test('requests in flight are shown while they last', async (t) => {
  await using door = await OpenDoor.open();
  const gate = door.driver.holdNext('mount');
  const mounting = door.ask('/VolumeDriver.Mount', { Name: 'db', ID: 'a' });
  await gate.entered;
  t.is((await samples(door)).get('vmdk_plugin_requests_in_flight{verb="Mount"}'), 1);
  gate.open();
  await mounting;
  await door.logger.line(({ fields }) => fields['op'] === 'Mount');
  t.is((await samples(door)).get('vmdk_plugin_requests_in_flight{verb="Mount"}'), 0);
});

test("the plugin's state is read off when somebody asks", async (t) => {
  await using door = await OpenDoor.open();
  await door.ask('/VolumeDriver.Mount', { Name: 'db', ID: 'a' });
  await door.ask('/VolumeDriver.Mount', { Name: 'db', ID: 'b' });
  const seen = await samples(door);
  t.is(seen.get('vmdk_plugin_known_volumes'), 1);
  t.is(seen.get('vmdk_plugin_mounted_volumes'), 1);
  t.is(seen.get('vmdk_plugin_references'), 2);
  t.is(seen.get('vmdk_plugin_host_connected'), 1);
  t.is(seen.get('vmdk_plugin_view_age_seconds'), 1.5);
  t.is(seen.get('vmdk_plugin_channel_commands_total{command="attach"}'), 3);
  t.is((await samples(door)).get('vmdk_plugin_channel_commands_total{command="attach"}'), 3, 'read anew, not added up');
  t.true((seen.get('process_resident_memory_bytes') ?? 0) > 1e6);
  t.true((seen.get('process_open_fds') ?? 0) > 0);
  t.true((seen.get('process_cpu_seconds_total') ?? 0) > 0);
});

test('health is 200 when all is well, and 503 with the reason when it is not', async (t) => {
  await using door = await OpenDoor.open();
  const client = await door.client();
  client.get('/health');
  const well = await client.answer();
  t.is(well?.status, 200);
  t.is(well?.headers.get('content-type'), 'application/json');
  t.like(JSON.parse(well?.body ?? ''), { status: 'ok', volumes: { known: 1, mounted: 0 } });
  door.driver.isDegraded = true;
  client.get('/health');
  const unwell = await client.answer();
  t.is(unwell?.status, 503);
  t.like(JSON.parse(unwell?.body ?? ''), { status: 'degraded', problems: ['the host does not answer'] });
});

test('a change leaves one line for information, a read one for debugging', async (t) => {
  await using door = await OpenDoor.open();
  await door.ask('/VolumeDriver.Create', { Name: 'web' });
  await door.ask('/VolumeDriver.Get', { Name: 'web' });
  await door.ask('/VolumeDriver.Get', { Name: 'nothing' });
  await door.logger.line(({ fields }) => fields['volume'] === 'nothing');
  const lines = door.logger.lines.map(({ level, fields: { op, volume, code } }) => [level, op, volume, code]);
  t.deepEqual(lines, [
    ['info', 'Create', 'web', 'ok'],
    ['debug', 'Get', 'web', 'ok'],
    ['debug', 'Get', 'nothing', 'VolumeNotFound'],
  ]);
  t.is(typeof door.logger.lines[0]?.fields['ms'], 'number');
});

test('a bug is logged with its stack and answered without', async (t) => {
  await using door = await OpenDoor.open();
  door.driver.failNext('create', new TypeError('x is undefined'));
  const answer = await door.ask('/VolumeDriver.Create', { Name: 'web' });
  t.is(answer?.body, '{"Err":"x is undefined"}');
  const line = await door.logger.line(({ level }) => level === 'error');
  t.regex(String(line.fields['stack']), /plugin-metrics\.test/);
});
