/** The package of the service, alone and beside the driver's, in a Debian that is booted; and what systemd says of the units. */
import test, { type ExecutionContext } from 'ava';
import { askDriver, mountedVolume } from './support/driver.ts';
import { Machine } from './support/machine.ts';
import { packageForMachine } from './support/packages.ts';

const service = 'docker-volume-vmdk-service';
const driver = 'docker-volume-vmdk';
/** Of systemd 252's measure, from 0 (all is closed) to 10; what keeps them from less is listed in docs/packages.md. */
const mostExposed = { [service]: 4.3, [driver]: 5.4 };
/** systemd learnt these with version 254. */
const newerKeys = /Unknown key '?Restart(Steps|MaxDelaySec)'? in section \[Service\], ignoring\./;

async function bootWithBoth(t: ExecutionContext): Promise<Machine> {
  const files = [await packageForMachine(service, '1.0.0'), await packageForMachine(driver, '1.0.0')];
  return Machine.boot(t, async (root) => {
    await root.run(`dpkg -i ${files.join(' ')}`);
  });
}

test.serial(
  'deb: the service runs with the configuration that it comes with, and a driver on its machine uses it',
  async (t) => {
    const machine = await bootWithBoth(t);
    t.is(await machine.property(service, 'ActiveState'), 'active');
    const socket = 'unix:///run/docker-volume-vmdk/local.sock';
    await machine.put('/etc/docker-volume-vmdk/plugin.json', `{ "service": "${socket}" }`);
    await machine.run('systemctl', 'restart', driver);
    const place = await mountedVolume(machine, 'db');
    await machine.put(`${place}/kept`, 'data');
    t.regex(await machine.run('vmdkops', 'volume', 'ls'), /\bdb\b/);
    await machine.run('systemctl', 'restart', service);
    t.is(await machine.run('cat', `${place}/kept`), 'data');
    await askDriver(machine, 'Unmount', { Name: 'db', ID: 'db' });
    await askDriver(machine, 'Remove', { Name: 'db' });
  },
);

test.serial('deb: each package takes away what is its own, and leaves volumes and the other package', async (t) => {
  const machine = await bootWithBoth(t);
  const socket = 'unix:///run/docker-volume-vmdk/local.sock';
  await machine.put('/etc/docker-volume-vmdk/plugin.json', `{ "service": "${socket}" }`);
  await machine.run('systemctl', 'restart', driver);
  await askDriver(machine, 'Create', { Name: 'db', Opts: { size: '20mb' } });
  await machine.run('dpkg', '--purge', driver);
  t.is(await machine.property(service, 'ActiveState'), 'active');
  t.regex(await machine.run('vmdkops', 'volume', 'ls'), /\bdb\b/);
  await machine.run('dpkg', '--purge', service);
  t.is(await machine.run('find', '/etc/docker-volume-vmdk', '/usr/bin/vmdkops').catch(() => ''), '');
  const disks = await machine.run('find', '/var/lib/docker-volume-vmdk-service/datastore', '-name', 'db*.vmdk');
  t.regex(disks, /db\.vmdk$/m);
});

test.serial('deb: systemd finds no fault with the units, and they are closed as far as they can be', async (t) => {
  const machine = await bootWithBoth(t);
  for (const unit of [service, driver] as const) {
    const file = `/lib/systemd/system/${unit}.service`;
    const { stdout, stderr } = await machine.try('systemd-analyze', 'verify', '--man=no', file);
    const faults = `${stdout}${stderr}`.split('\n').filter((line) => line !== '' && !newerKeys.test(line));
    t.deepEqual(faults, []);
    const report = await machine.run('systemd-analyze', 'security', '--offline=yes', '--no-pager', file);
    const exposure = Number(/Overall exposure level for \S+: ([\d.]+)/.exec(report)?.[1]);
    t.true(exposure <= mostExposed[unit], `${unit}: ${exposure}`);
  }
});
