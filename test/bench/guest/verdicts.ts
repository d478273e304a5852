/** The figures as rows of a table, with what was aimed at. Pure. */
import { median } from '../statistics.ts';
import { type Row, row, short, type Target } from '../rows.ts';
import { type BareTimes, type ControllerFigures, type MountTimes, over, pulledOut, type Round } from './figures.ts';

const mostMore = 60;
const mostOfOne = 4;

export function guestRows(figures: ControllerFigures): readonly Row[] {
  const { controller, many, rounds } = figures;
  const title = (what: string): string => `${what}, ${controller}`;
  const times = String(many);
  const earlyOf = (what: keyof MountTimes): string =>
    short(over(rounds, ({ early }) => early.map((times) => times[what])));
  const asked = short(over(rounds, (round) => round.asked));
  const askedMany = short(over(rounds, (round) => [round.askedMany]));
  return [
    row(title('first mount, formats (ms)'), short(figures.firstMount)),
    row(title('a mount of a plugin just started (ms)'), earlyOf('mount'), `an unmount: ${earlyOf('unmount')}`),
    row(title('a question, without disks (ms)'), asked, `${times} at once: ${askedMany}`),
    oneRow(title('attach to mounted (ms)'), rounds, 'mount'),
    oneRow(title('unmount to detached (ms)'), rounds, 'unmount'),
    manyRow(title(`${times} mounts at once (ms)`), rounds, 'mount'),
    manyRow(title(`${times} unmounts at once (ms)`), rounds, 'unmount'),
    callsRow(title(`calls to QEMU for ${times} mounts`), rounds),
  ];
}

function bareShare(bare: BareTimes, what: keyof MountTimes): number {
  return what === 'mount' ? bare.added : pulledOut(bare);
}

function told(rounds: readonly Round[], what: keyof MountTimes, pick: (round: Round) => readonly BareTimes[]): string {
  const of = (part: keyof BareTimes): string => short(over(rounds, (round) => pick(round).map((bare) => bare[part])));
  if (what === 'mount') return `alone: reply ${of('addReply')}, seen ${of('added')}`;
  return `alone: reply ${of('deleteReply')}, gone ${of('removed')}, deleted ${of('deleted')}`;
}

/** Ours beside the hypervisor's and the guest kernel's own. */
function oneRow(title: string, rounds: readonly Round[], what: keyof MountTimes): Row {
  const more = median(
    rounds.map(({ one, bare }) => {
      const [ours, alone] = [one.map((times) => times[what]), bare.map((times) => bareShare(times, what))];
      return median(ours) - median(alone);
    }),
  );
  const product = short(over(rounds, ({ one }) => one.map((times) => times[what])));
  const other = told(rounds, what, ({ bare }) => bare);
  const target = { text: `<= alone + ${String(mostMore)} ms`, isMet: more <= mostMore };
  return row(title, product, other, `+${short(more)} ms`, target);
}

/** By round, as a round's times are of the same minutes. */
function manyRow(title: string, rounds: readonly Round[], what: keyof MountTimes): Row {
  const ratioTo = (ofMany: (round: Round) => number): number =>
    median(rounds.map((round) => ofMany(round) / median(round.one.map((times) => times[what]))));
  const ratio = ratioTo(({ many }) => many[what]);
  const alone = ratioTo(({ bareMany }) => bareShare(bareMany, what));
  const product = short(over(rounds, ({ many }) => [many[what]]));
  const other = `${told(rounds, what, ({ bareMany }) => [bareMany])} (${short(alone)} x one of ours)`;
  const target: Target | undefined =
    what === 'mount' ? { text: `<= ${String(mostOfOne)} x one`, isMet: ratio <= mostOfOne } : undefined;
  return row(title, product, other, `${short(ratio)} x one`, target);
}

/** Not judged: a call is made at once while none is under way, so how many there are says how fast the guest asks. */
function callsRow(title: string, rounds: readonly Round[]): Row {
  const mounts = over(rounds, ({ many }) => [many.mountCalls]);
  const unmounts = over(rounds, ({ many }) => [many.unmountCalls]);
  return row(title, short(mounts), `for the unmounts: ${short(unmounts)}`);
}
