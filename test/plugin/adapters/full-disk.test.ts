import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { faultOf } from '../../../common/fault.ts';
import { silentLogger } from '../../../common/logging.ts';
import { fullName, parseDatastoreName, parseVolumeName } from '../../../common/names.ts';
import { FileReferenceLog } from '../../../plugin/adapters/reference-log.ts';
import { scratch } from '../../native/support/scratch.ts';

const db = fullName(parseVolumeName('db'), parseDatastoreName('local'));

test('on a full disk an append fails, nothing of it is kept, and it works again once there is space', async (t) => {
  const place = await scratch(t);
  const folder = await place.directory('state');
  await place.mount({ source: 'tmpfs', target: folder, fstype: 'tmpfs', data: 'size=64k' });
  const log = await FileReferenceLog.open({ folder, logger: silentLogger, bootId: 'boot' });
  t.teardown(() => log.close());
  await writeFile(join(folder, 'filler'), Buffer.alloc(48 * 1024));
  await writeFile(join(folder, 'more'), Buffer.alloc(64 * 1024)).catch(() => undefined);
  let recorded = 0;
  const failure = t.throws(() => {
    for (; recorded < 10_000; recorded += 1) log.append({ do: 'add', volume: db, id: String(recorded) });
  });
  t.is(faultOf(failure).code, 'NoSpace');
  t.is(log.read().length, recorded);
  await writeFile(join(folder, 'filler'), '');
  log.append({ do: 'add', volume: db, id: 'later' });
  t.is(log.read().length, recorded + 1);
  const copy = await place.directory('copy');
  await writeFile(join(copy, 'references.log'), await readFile(join(folder, 'references.log')));
  const next = await FileReferenceLog.open({ folder: copy, logger: silentLogger, bootId: 'boot' });
  t.is(next.read().length, recorded + 1);
  next.close();
});
