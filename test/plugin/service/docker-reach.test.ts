/** A Docker that does not see what is mounted, on a fake guest (the real ones are in test/docker/private-root.test.ts). */
import test from 'ava';
import { countOf } from '../../../plugin/core/references.ts';
import { FakeGuest } from '../fakes/fake-guest.ts';
import { startPlugin } from '../fakes/plugin-under-test.ts';

const patient = new AbortController().signal;

test('reach: what does not reach Docker is refused and let go, and who has the volume already keeps it', async (t) => {
  const guest = new FakeGuest();
  guest.addVolume('db@local');
  let isHidden = true;
  const { volumes, held } = await startPlugin(guest, { dockerReach: { isHidden: () => Promise.resolve(isHidden) } });
  await t.throwsAsync(volumes.mount('db', '1', patient), { message: /does not reach dockerd/ });
  t.deepEqual([...held.values()], []);
  isHidden = false;
  await volumes.mount('db', '1', patient);
  isHidden = true;
  await t.throwsAsync(volumes.mount('db', '2', patient), { message: /does not reach dockerd/ });
  t.deepEqual(
    [...held.values()].map(({ references }) => countOf(references)),
    [1],
  );
});

test('reach: what a dockerd that starts took away is mounted again until it sees it, with what it told before it ended', async (t) => {
  const steps: string[] = [];
  const guest = new FakeGuest((label) => Promise.resolve(void steps.push(label)));
  guest.addVolume('db@local');
  let hiddenTimes = 0;
  const isHidden = (): Promise<boolean> => Promise.resolve(hiddenTimes-- > 0);
  const { volumes, held } = await startPlugin(guest, { dockerReach: { isHidden } });
  await volumes.mount('db', '1', patient);
  volumes.activated();
  hiddenTimes = 2;
  steps.length = 0;
  await volumes.mount('db', '1', patient);
  t.deepEqual(
    [...held.values()].map(({ disk, references }) => [disk.path, countOf(references)]),
    [['/mnt/vmdk/local/db', 1]],
  );
  t.is(steps.filter((step) => step === 'mount').length, 2);
});
