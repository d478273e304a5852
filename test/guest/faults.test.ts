/** What happens to a guest's disks, and to the guest itself, beside the service: outside unplugging, resets, pauses. */
import test from 'ava';
import { deadline } from '../../common/deadline.ts';
import type { Guest } from './guest.ts';
import { checksum, disksOf, mount, startService, unmount, writeFile } from './hot-plug.ts';
import { askInTurn, askPlugin, bootPluginGuest, healthOf, startPlugin } from './plugin-guest.ts';

const { serial } = test;

let alpha: Guest;

test.before(async () => {
  alpha = await bootPluginGuest();
});
test.after.always(async () => {
  await alpha[Symbol.asyncDispose]();
});

/** What the plugin has to tell of itself, once it has. */
async function problemsOf(guest: Guest): Promise<readonly string[]> {
  using limit = deadline(20_000, 'a problem of the plugin');
  for (;;) {
    const { status, problems } = await healthOf(guest);
    if (status === 'degraded') return problems;
    limit.signal.throwIfAborted();
  }
}

/** As somebody does it by hand: without the service, and without asking the guest. */
async function takeOutFirst(guest: Guest): Promise<void> {
  const disks = (await guest.askQemu('query-block')) as readonly { readonly qdev?: string }[];
  await guest.askQemu('device_del', { id: disks.map(({ qdev }) => qdev).find((id) => id?.startsWith('vmdk')) });
}

serial(
  'faults: a disk that is taken out under its mount gives I/O errors, is told, and comes back whole',
  async (t) => {
    await startService(t, { alpha });
    await startPlugin(t, alpha);
    for (const Name of ['lost', 'other'])
      t.like(await askInTurn(alpha, ['Create', { Name, Opts: { size: '100mb' } }]), [{ Err: '' }]);
    const folder = await mount(t, alpha, 'lost');
    const written = await writeFile(alpha, folder);
    const otherFolder = await mount(t, alpha, 'other');
    await takeOutFirst(alpha);
    const failed = await alpha.run(`cd '${folder}' && echo new > new && sync new`);
    t.not(failed.code, 0);
    t.regex(failed.stderr, /Input\/output error|Read-only file system/);
    const sentence = /volume lost@local is mounted at .* not attached to this machine any more; stop what uses it/;
    // QEMU tells the service, which tells the guest.
    t.regex((await problemsOf(alpha)).join(), sentence);
    // A second container must not start on it.
    t.regex((await askPlugin(alpha, 'Mount', { Name: 'lost', ID: 'two' })).Err, sentence);
    const { Volume } = await askPlugin(alpha, 'Get', { Name: 'lost' });
    t.regex(String(Volume?.Status['problem']), sentence);
    t.is(await writeFile(alpha, otherFolder), await checksum(alpha, otherFolder));
    await unmount(t, alpha, 'lost');
    t.is(await checksum(alpha, await mount(t, alpha, 'lost')), written);
    t.regex(await alpha.mustRun('dmesg | grep EXT4-fs'), /recovery complete/);
    t.is((await askPlugin(alpha, 'Get', { Name: 'lost' })).Volume?.Status['problem'], undefined);
    t.like(await healthOf(alpha), { status: 'ok', problems: [] });
    for (const name of ['lost', 'other']) await unmount(t, alpha, name);
    t.is(await disksOf(alpha), '');
  },
);
