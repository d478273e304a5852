/** Other mount namespaces on the real kernel; each holder is a process that lives until the test ends it. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Fstype } from '../../../common/volume-options.ts';
import { ProcessMountTables } from '../../../plugin/adapters/holders.ts';
import { isSoonFalse } from './soon-false.ts';
import { type Bench, bench, sizeBytes } from './volume-disk.ts';

const holders = new ProcessMountTables();

/** A volume mounted in a folder whose mounts spread to other namespaces, as systemd sets up `/`. */
async function volumeIn(
  t: ExecutionContext,
  fstype: Fstype,
): Promise<Bench & { device: string; root: string; target: string }> {
  const place = await bench(t);
  const device = await place.disk('disk', sizeBytes[fstype]);
  await place.fileSystems.make(device, fstype, 'db', place.signal);
  const root = await place.scratch.directory('root');
  await place.scratch.mount({ source: 'tmpfs', target: root, fstype: 'tmpfs' });
  await place.scratch.mount({ source: 'none', target: root, fstype: '', flags: ['shared'] });
  await mkdir(join(root, 'elsewhere'));
  return { ...place, device, root, target: join(root, 'db') };
}

for (const fstype of ['ext4', 'btrfs'] as const) {
  test.serial(`${fstype}: the echo of our mount in a service's namespace is no holder`, async (t) => {
    const { device, target, mounted, scratch, fileSystems } = await volumeIn(t, fstype);
    const before = await scratch.namespace('true');
    await mounted(device, 'root/db', fstype);
    const after = await scratch.namespace('true');
    t.true(await isSoonFalse(() => holders.isMountedElsewhere(device, target)));
    await fileSystems.unmount(target);
    t.true(await isSoonFalse(() => fileSystems.isHeld(device)), 'echoes go with the mount');
    await Promise.all([before.end(), after.end()]);
  });

  test.serial(`${fstype}: a bind mount in another namespace is a holder, before our unmount and after`, async (t) => {
    const { device, root, target, mounted, scratch, fileSystems } = await volumeIn(t, fstype);
    await mounted(device, 'root/db', fstype);
    const container = await scratch.namespace(`mount --bind ${target} ${root}/elsewhere`);
    t.true(await holders.isMountedElsewhere(device, target));
    await fileSystems.unmount(target);
    t.true(await holders.isMountedElsewhere(device, target));
    t.true(await fileSystems.isHeld(device));
    await container.end();
    t.true(await isSoonFalse(() => holders.isMountedElsewhere(device, target)));
  });

  test.serial(`${fstype}: a bind mount in our own namespace is a holder, our own mount is none`, async (t) => {
    const { device, root, target, mounted, scratch } = await volumeIn(t, fstype);
    await mounted(device, 'root/db', fstype);
    t.true(await isSoonFalse(() => holders.isMountedElsewhere(device, target)));
    await scratch.mount({ source: target, target: `${root}/elsewhere`, fstype: '', flags: ['bind'] });
    t.true(await holders.isMountedElsewhere(device, target));
  });

  test.serial(`${fstype}: a mount in a namespace that ours no longer reaches is a holder`, async (t) => {
    const { device, target, mounted, scratch } = await volumeIn(t, fstype);
    await mounted(device, 'root/db', fstype);
    await scratch.apart();
    t.true(await holders.isMountedElsewhere(device, target));
  });
}
