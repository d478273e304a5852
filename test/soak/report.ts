/** What a storm that found no violation tells. Pure: no I/O. */
import { forgotten, type History, killsOf } from './history.ts';
import type { HostileLink } from './link/hostile-link.ts';
import type { ProcessState } from './program.ts';
import type { Settings } from './settings.ts';

export interface Account {
  readonly settings: Settings;
  readonly operations: ReadonlyMap<string, number>;
  readonly total: number;
  readonly perSecond: number;
  readonly text: string;
}

interface Sources {
  readonly settings: Settings;
  readonly history: History;
  readonly link: Pick<HostileLink, 'events' | 'commandsSeen'>;
  readonly sizes: ReadonlyMap<string, ProcessState>;
  /** Of the rounds. */
  readonly ms: number;
}

/** Counted, but no operations. */
const others = [
  'containers',
  'quiet points',
  'files verified',
  'unsure answers',
  'answers that a Mount given up explains',
  'answered as the client hung up',
  'hung up in time',
  'answers that a kill took',
  'dockerd with live-restore',
  forgotten,
  'recorded as the plugin was killed, and their clients hung up',
];

export function accountOf({ settings, history, link, sizes, ms }: Sources): Account {
  const all = [...history.counts].sort(([one], [other]) => one.localeCompare(other));
  const isOther = (name: string): boolean => others.includes(name) || name.startsWith(killsOf);
  const operations = new Map(all.filter(([name]) => !isOther(name)));
  const total = [...operations.values()].reduce((sum, count) => sum + count, 0);
  const perSecond = Math.round((total / ms) * 1000);
  const slowest = [...history.slowestMs].map(([name, longest]) => [name, `${Math.round(longest)} ms`] as const);
  const grown = [...sizes].map(
    ([name, { rssMib, descriptors, threads }]) =>
      `${name} ${rssMib} MiB, ${descriptors} descriptors, ${threads} threads`,
  );
  const text = [
    `seed        ${settings.seed}`,
    `storm       ${(ms / 60_000).toFixed(2)} minutes, ${settings.clients} clients, ${settings.volumes} private volumes, link ${settings.link}`,
    `operations  ${total}, ${perSecond}/s: ${listed(operations)}`,
    `besides     ${listed(all.filter(([name]) => isOther(name)))}`,
    `slowest     ${listed(slowest)}`,
    `link        ${listed(link.events())}`,
    `commands    ${listed(link.commandsSeen())}`,
    `at most     ${grown.join('; ')}`,
    'violations  0',
  ].join('\n');
  return { settings, operations, total, perSecond, text };
}

function listed(entries: Iterable<readonly [string, number | string]>): string {
  return [...entries].map(([name, count]) => `${name} ${count}`).join(', ');
}
