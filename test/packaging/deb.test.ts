/** The Debian packages in a Debian that is booted with a systemd of its own. */
import { createHash } from 'node:crypto';
import { access, readFile } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import { askDriver, driverSocket, mountedVolume } from './support/driver.ts';
import { Machine } from './support/machine.ts';
import { loosePackage, packageForMachine } from './support/packages.ts';

const unit = 'docker-volume-vmdk';
const configuration = '/etc/docker-volume-vmdk/plugin.json';

/** In dockerd's place: notes whether the driver answers at the moment at which dockerd would start. */
const dockerStandIn = `[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'systemctl show --value --property ActiveState,StatusText ${unit} >/srv/at-start; test -S ${driverSocket}'
[Install]
WantedBy=multi-user.target
`;

async function bootWithPlugin(t: ExecutionContext): Promise<Machine> {
  const file = await packageForMachine('docker-volume-vmdk', '1.0.0');
  return Machine.boot(t, async (root) => {
    await root.run(`printf '%s' "${dockerStandIn}" >/lib/systemd/system/docker.service
      systemctl enable docker.service && dpkg -i ${file}`);
  });
}

test.serial('deb: the same commit gives the same bytes', async (t) => {
  const hash = async (): Promise<string> => {
    const bytes = await readFile(await loosePackage('docker-volume-vmdk', '1.0.0'));
    return createHash('sha256').update(bytes).digest('hex');
  };
  t.is(await hash(), await hash());
});

test.serial('deb: at boot the driver is ready before docker.service (a stand-in) starts, which wants it', async (t) => {
  const machine = await bootWithPlugin(t);
  t.is(await machine.property('docker', 'ActiveState'), 'active');
  t.regex(await machine.run('cat', '/srv/at-start'), /^serving Docker at .*\nactive$/m);
  t.regex(await machine.property('docker', 'Wants'), /docker-volume-vmdk\.service/);
  t.is(await machine.property(unit, 'NRestarts'), '0');
});

test.serial('deb: what the driver mounts is mounted for the whole machine', async (t) => {
  const machine = await bootWithPlugin(t);
  const place = await mountedVolume(machine, 'db');
  t.is((await machine.run('findmnt', '--noheadings', '--output', 'FSTYPE', place)).trim(), 'ext4');
  await askDriver(machine, 'Unmount', { Name: 'db', ID: 'db' });
  await askDriver(machine, 'Remove', { Name: 'db' });
});

test.serial('deb: upgrade and roll-back keep the configuration, the mounts and what runs on them', async (t) => {
  const machine = await bootWithPlugin(t);
  const newer = await packageForMachine('docker-volume-vmdk', '2.0.0');
  const edited = '{ "embedded": true, "logLevel": "debug" }\n';
  await machine.put(configuration, edited);
  const place = await mountedVolume(machine, 'db');
  // A container, as far as a volume sees it: a mount namespace of its own, and somebody who writes.
  const writer = `exec unshare --mount --propagation private sh -c 'while sync ${place}; do date +%s%N >>${place}/log; done'`;
  await machine.run('systemd-run', '--unit', 'writer', 'sh', '-c', writer);
  const lines = async (): Promise<number> => (await machine.try('cat', `${place}/log`)).stdout.split('\n').length;
  await machine.until('the writer writes', async () => (await lines()) > 3);
  for (const [version, file] of [
    ['2.0.0', newer],
    ['1.0.0', await packageForMachine('docker-volume-vmdk', '1.0.0')],
  ] as const) {
    const [former, written] = [await machine.property(unit, 'MainPID'), await lines()];
    await machine.run('dpkg', '-i', file);
    t.is((await machine.run('dpkg-query', '-W', '-f', '${Version}', unit)).trim(), version);
    t.not(await machine.property(unit, 'MainPID'), former);
    t.is(await machine.property(unit, 'ActiveState'), 'active');
    t.is(await machine.run('cat', configuration), edited);
    await machine.until('the writer goes on', async () => (await lines()) > written + 3);
  }
  t.is(await machine.property('writer', 'ActiveState'), 'active');
  await machine.run('systemctl', 'stop', 'writer');
  await askDriver(machine, 'Unmount', { Name: 'db', ID: 'db' });
  await askDriver(machine, 'Remove', { Name: 'db' });
});

test.serial('deb: a unit that was disabled stays disabled over an upgrade', async (t) => {
  const machine = await bootWithPlugin(t);
  await machine.run('systemctl', 'disable', '--now', unit);
  await machine.run('dpkg', '-i', await packageForMachine('docker-volume-vmdk', '2.0.0'));
  t.is((await machine.try('systemctl', 'is-enabled', unit)).stdout.trim(), 'disabled');
});

test.serial('deb: a hung daemon is restarted by the watchdog', async (t) => {
  const machine = await bootWithPlugin(t);
  await machine.put(`/etc/systemd/system/${unit}.service.d/test.conf`, '[Service]\nWatchdogSec=1s\n');
  await machine.run('systemctl', 'daemon-reload');
  await machine.run('systemctl', 'restart', unit);
  await machine.run('systemctl', 'kill', '--signal', 'SIGSTOP', unit);
  await machine.until('the restart', async () => (await machine.property(unit, 'NRestarts')) === '1');
  await machine.until('active', async () => (await machine.property(unit, 'ActiveState')) === 'active');
  t.regex(await machine.run('journalctl', '--no-pager', '--unit', unit), /watchdog timeout/i);
});

test.serial('deb: no socket is left, neither by a stop nor by a kill', async (t) => {
  const machine = await bootWithPlugin(t);
  await machine.run('systemctl', 'stop', unit);
  await t.throwsAsync(access(machine.path(driverSocket)));
  await machine.put(`/etc/systemd/system/${unit}.service.d/test.conf`, '[Service]\nRestart=no\n');
  await machine.run('systemctl', 'daemon-reload');
  await machine.run('systemctl', 'start', unit);
  await access(machine.path(driverSocket));
  await machine.run('systemctl', 'kill', '--signal', 'SIGKILL', unit);
  await machine.until('failed', async () => (await machine.property(unit, 'ActiveState')) === 'failed');
  await t.throwsAsync(access(machine.path(driverSocket)));
});

test.serial('deb: a service that is out of reach is named by the status and in the journal', async (t) => {
  const machine = await bootWithPlugin(t);
  await machine.put(configuration, '{ "service": "unix:///run/nobody.sock" }');
  await machine.run('systemctl', 'restart', '--no-block', unit);
  const waiting = /waiting for the service at unix:\/\/\/run\/nobody\.sock: .*nobody/;
  await machine.until('the status', async () => waiting.test(await machine.property(unit, 'StatusText')));
  t.is(await machine.property(unit, 'ActiveState'), 'activating');
  t.regex(await machine.run('journalctl', '--no-pager', '--unit', unit), /cannot reach unix:\/\/\/run\/nobody\.sock/);
});

test.serial(
  'deb: an upgrade that finds the disk full says so, leaves the old version at work, and can be repeated',
  async (t) => {
    const machine = await Machine.boot(t, () => Promise.resolve());
    const home = '/usr/lib/docker-volume-vmdk';
    await machine.run('mkdir', home);
    await machine.run('mount', '-t', 'tmpfs', '-o', 'size=160m', 'tmpfs', home);
    await machine.run('dpkg', '-i', await packageForMachine('docker-volume-vmdk', '1.0.0'));
    const newer = await packageForMachine('docker-volume-vmdk', '2.0.0');
    const { code, stderr } = await machine.try('dpkg', '-i', newer);
    t.is(code, 1);
    t.regex(stderr, /No space left on device/);
    t.is(await machine.property(unit, 'ActiveState'), 'active');
    t.is((await machine.run('dpkg-query', '-W', '-f', '${Version}', unit)).trim(), '1.0.0');
    await machine.run('systemctl', 'restart', unit);
    await askDriver(machine, 'List', {});
    await machine.run('mount', '-o', 'remount,size=400m', home);
    await machine.run('dpkg', '-i', newer);
    t.is(await machine.property(unit, 'ActiveState'), 'active');
    await machine.run('systemctl', 'stop', unit);
  },
);

test.serial('deb: removal and purge take the state, and no volume', async (t) => {
  const machine = await bootWithPlugin(t);
  const place = await mountedVolume(machine, 'db');
  await machine.put(`${place}/kept`, 'data');
  await machine.run('dpkg', '--remove', unit);
  t.is(await machine.run('cat', `${place}/kept`), 'data');
  await machine.run('cat', configuration);
  await machine.run('dpkg', '--purge', unit);
  t.is(await machine.run('cat', `${place}/kept`), 'data');
  await t.throwsAsync(access(machine.path('/etc/docker-volume-vmdk')));
  await t.throwsAsync(access(machine.path('/var/lib/docker-volume-vmdk/plugin')));
  t.is(
    (await machine.run('sh', '-c', 'ls /var/lib/docker-volume-vmdk/datastore/dockvols/*/db.vmdk')).split('\n').length,
    2,
  );
  const folders = ['/etc/systemd', '/var/lib/systemd/deb-systemd-helper-enabled'] as const;
  t.is(await machine.run('find', ...folders, '-name', '*vmdk*'), '');
  // Installed again, it finds the volume where it was.
  await machine.run('dpkg', '-i', await packageForMachine('docker-volume-vmdk', '1.0.0'));
  t.like(await askDriver(machine, 'Get', { Name: 'db' }), { Volume: { Name: 'db' } });
  await askDriver(machine, 'Remove', { Name: 'db' });
});
