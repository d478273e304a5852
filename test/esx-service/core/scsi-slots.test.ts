import test from 'ava';
import * as fc from 'fast-check';
import {
  type Controller,
  controllerKinds,
  freeSlot,
  slotCount,
  slotKey,
} from '../../../esx-service/core/scsi-slots.ts';

function controllers(count: number, kind: Controller['kind']): readonly Controller[] {
  return Array.from({ length: count }, (_, number) => ({ id: `c${number}`, kind, pciAddress: `0000:00:0${number}.0` }));
}

test('slots: every slot is given once, then none; the lowest units first, and on pvscsi never unit 7', (t) => {
  for (const kind of controllerKinds) {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4 }), (count) => {
        const all = [...controllers(count, kind), ...controllers(1, undefined)];
        const taken = new Set<string>();
        const units: number[] = [];
        for (let slot = freeSlot(all, kind, taken); slot; slot = freeSlot(all, kind, taken)) {
          t.false(taken.has(slotKey(slot)));
          taken.add(slotKey(slot));
          units.push(slot.unit);
        }
        t.is(units.length, count * slotCount(kind));
        t.deepEqual(
          units,
          units.toSorted((one, other) => one - other),
        );
        t.is(units.includes(7), kind === 'virtio-scsi' && count > 0);
      }),
      { numRuns: 20 },
    );
  }
  t.is(slotCount('pvscsi'), 64);
});

test('slots: a unit that is free again is used again', (t) => {
  const one = controllers(1, 'pvscsi');
  t.is(freeSlot(one, 'pvscsi', new Set(['c0:0', 'c0:2']))?.unit, 1);
});
