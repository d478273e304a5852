import test from 'ava';
import type { BareTimes, ControllerFigures, Round } from './figures.ts';
import { guestRows } from './verdicts.ts';

const bare: BareTimes = { addReply: 2, added: 80, deleteReply: 1, removed: 10, deleted: 50 };
const bareMany: BareTimes = { addReply: 60, added: 400, deleteReply: 20, removed: 1200, deleted: 80 };

/** @param drift of the whole machine, which hits everything in the round */
function round(drift: number, mount: number, unmount: number, manyMounts: number): Round {
  const slower = (times: BareTimes): BareTimes => ({ ...times, added: times.added * drift });
  return {
    bare: [slower(bare)],
    bareMany: slower(bareMany),
    asked: [10],
    askedMany: 100,
    early: [{ mount: 200, unmount: 200 }],
    one: [{ mount: mount * drift, unmount }],
    many: { mount: manyMounts * drift, unmount: 2000, mountCalls: 3, unmountCalls: 2 },
  };
}

function verdicts(rounds: readonly Round[]): ReadonlyMap<string, boolean | undefined> {
  const figures: ControllerFigures = { controller: 'pvscsi', many: 32, firstMount: 300, rounds };
  return new Map(guestRows(figures).map(({ measure, isMet }) => [measure, isMet]));
}

test("bench in guests: one mount is judged by what it takes more than the hypervisor and the guest's kernel", (t) => {
  const at = (mount: number): unknown => verdicts([round(1, mount, 0, 0)]).get('attach to mounted (ms), pvscsi');
  t.deepEqual([at(140), at(141)], [true, false]);
});

test('bench in guests: an unmount is judged by whoever lets go later, the kernel or QEMU', (t) => {
  const at = (unmount: number): unknown => verdicts([round(1, 0, unmount, 0)]).get('unmount to detached (ms), pvscsi');
  t.deepEqual([at(110), at(111)], [true, false]);
});

test('bench in guests: many mounts are judged by one of the same round, whatever the machine did meanwhile', (t) => {
  const at = (manyMounts: number): unknown =>
    verdicts([1, 10, 100].map((drift) => round(drift, 100, 0, manyMounts))).get('32 mounts at once (ms), pvscsi');
  t.deepEqual([at(400), at(401)], [true, false]);
});
