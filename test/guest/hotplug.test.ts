/**
 * The whole way of a volume: the plugin in a guest, over vsock to a service on this machine, which plugs the disk into that
 * guest by QMP, where the plugin finds, formats and mounts it.
 */
import test from 'ava';
import type { Guest } from './guest.ts';
import { checksum, disksOf, mount, startService, unmount, writeFile } from './hot-plug.ts';
import { askInTurn, askPlugin, bootPluginGuest, startPlugin } from './plugin-guest.ts';

const { serial } = test;

/** More than the 16 units of a pvscsi controller that a guest's kernel looks at when it starts. */
const manyVolumes = 32;
const rounds = 9;

let alpha: Guest;

test.before(async () => {
  alpha = await bootPluginGuest();
});
test.after.always(async () => {
  await alpha[Symbol.asyncDispose]();
});

function sinceMs(begun: number): number {
  return Math.round(performance.now() - begun);
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;
}

serial('hot-plug: a volume is plugged in, formatted, mounted and pulled out, and keeps what was written', async (t) => {
  await startService(t, { alpha });
  await startPlugin(t, alpha);
  t.like(await askInTurn(alpha, ['Create', { Name: 'db', Opts: { size: '100mb' } }]), [{ Err: '' }]);
  const folder = await mount(t, alpha, 'db');
  const written = await writeFile(alpha, folder);
  t.regex(await disksOf(alpha), /^\d+:0:0:0\n$/);
  await unmount(t, alpha, 'db');
  t.is(await disksOf(alpha), '');
  t.is(await checksum(alpha, await mount(t, alpha, 'db')), written);
  await unmount(t, alpha, 'db');
  t.like(await askInTurn(alpha, ['Remove', { Name: 'db' }], ['List', {}]), [{ Err: '' }, { Err: '', Volumes: [] }]);
});

serial('hot-plug: a read-only volume is read, and neither the mount nor the disk takes a write', async (t) => {
  await startService(t, { alpha });
  await startPlugin(t, alpha);
  await askInTurn(alpha, ['Create', { Name: 'source', Opts: { size: '100mb' } }]);
  const written = await writeFile(alpha, await mount(t, alpha, 'source'));
  await unmount(t, alpha, 'source');
  const options = { 'clone-from': 'source', access: 'read-only' };
  t.like(await askPlugin(alpha, 'Create', { Name: 'copy', Opts: options }), { Err: '' });
  const folder = await mount(t, alpha, 'copy');
  t.is(await checksum(alpha, folder), written);
  const { stderr } = await alpha.run(`touch '${folder}/new'`);
  t.regex(stderr, /Read-only file system/);
  t.is(await alpha.mustRun('cat /sys/class/scsi_disk/*/device/block/*/ro'), '1\n');
  await unmount(t, alpha, 'copy');
});

serial('hot-plug: many volumes at once are all mounted, each with its own disk', async (t) => {
  await startService(t, { alpha });
  await startPlugin(t, alpha);
  const names = Array.from({ length: manyVolumes }, (_, place) => `many-${place}`);
  for (const name of names)
    t.like(await askPlugin(alpha, 'Create', { Name: name, Opts: { size: '20mb' } }), { Err: '' });
  const first = performance.now();
  const folders = await Promise.all(names.map((name) => mount(t, alpha, name)));
  t.log(`${manyVolumes} first mounts at once: ${sinceMs(first)} ms`);
  await alpha.mustRun(folders.map((folder, place) => `echo ${place} > '${folder}/name'`).join('\n'));
  await Promise.all(names.map((name) => unmount(t, alpha, name)));
  t.is(await disksOf(alpha), '');
  const second = performance.now();
  await Promise.all(names.map((name) => mount(t, alpha, name)));
  t.log(`${manyVolumes} mounts at once: ${sinceMs(second)} ms`);
  const read = await alpha.mustRun(folders.map((folder) => `cat '${folder}/name'`).join('\n'));
  t.is(read, names.map((_, place) => `${place}\n`).join(''));
  t.is((await disksOf(alpha)).trimEnd().split('\n').length, manyVolumes);
  await Promise.all(names.map((name) => unmount(t, alpha, name)));
  t.is(await disksOf(alpha), '');
});

serial('hot-plug: how long it takes', async (t) => {
  await startService(t, { alpha });
  await startPlugin(t, alpha);
  await askInTurn(alpha, ['Create', { Name: 'db', Opts: { size: '100mb' } }]);
  await mount(t, alpha, 'db');
  await unmount(t, alpha, 'db');
  const [mounts, unmounts]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round += 1) {
    const begun = performance.now();
    await mount(t, alpha, 'db');
    mounts.push(sinceMs(begun));
    const mounted = performance.now();
    await unmount(t, alpha, 'db');
    unmounts.push(sinceMs(mounted));
  }
  t.log(`median of ${rounds}: attach to mounted ${median(mounts)} ms, unmount to detached ${median(unmounts)} ms`);
  t.pass();
});

serial(
  'hot-plug: a volume is refused by its holder while that lives, and is whole elsewhere when it is killed',
  async (t) => {
    const victim = await bootPluginGuest();
    t.teardown(() => victim[Symbol.asyncDispose]());
    await startService(t, { alpha, victim });
    await startPlugin(t, alpha);
    await startPlugin(t, victim);
    await askInTurn(victim, ['Create', { Name: 'db', Opts: { size: '100mb' } }]);
    const written = await writeFile(victim, await mount(t, victim, 'db'));
    const refused = await askPlugin(alpha, 'Mount', { Name: 'db', ID: 'one' });
    t.regex(refused.Err, /victim/);
    await victim.kill();
    const begun = performance.now();
    const folder = await mount(t, alpha, 'db');
    t.log(`mounted ${sinceMs(begun)} ms after the death of its holder`);
    t.is(await checksum(alpha, folder), written);
    t.regex(await alpha.mustRun('dmesg | grep EXT4-fs'), /recovery complete/);
    await unmount(t, alpha, 'db');
  },
);
