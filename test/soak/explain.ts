/** A violation with all that is needed to understand it, and to see it again. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../common/fault.ts';
import type { Surroundings } from './bed.ts';
import { getJson } from './get-json.ts';
import { type History, killsOf, Violation } from './history.ts';
import { holdersOf } from '../support/holders.ts';
import { PluginDoor } from './plugin-door.ts';
import type { Program } from './program.ts';
import { dockvols } from './reality.ts';
import { textOf } from './verdict.ts';

const logLines = 14;
const askMs = 5000;

export async function explained(reason: unknown, seed: string, history: History, around: Surroundings): Promise<Error> {
  if (!(reason instanceof Violation)) return reason instanceof Error ? reason : new Error(String(reason));
  const { volume } = reason;
  const about =
    volume === undefined
      ? []
      : [
          'last operations:',
          ...history.of(volume),
          ...(await saidNow(volume, around)),
          'mounted by:',
          ...(await holdersOf(extentOf(volume, around.places.folder))),
          'on the wire:',
          ...around.link.traceOf(volume),
        ];
  const logs = [around.plugin, around.service].map((program) => logged(program, volume));
  const text = [
    `VIOLATION after ${history.counted('quiet points')} quiet points, seed ${seed}: ${reason.message}`,
    killsIn(history),
    ...about,
    ...(await Promise.all(logs)).flat(),
  ];
  return new Violation(volume, text.join('\n'));
}

function extentOf(volume: string, folder: string): string {
  const place = volume.lastIndexOf('@');
  return join(dockvols(folder, volume.slice(place + 1)), `${volume.slice(0, place)}-flat.vmdk`);
}

async function saidNow(volume: string, around: Surroundings): Promise<readonly string[]> {
  const signal = AbortSignal.timeout(askMs);
  using door = new PluginDoor(around.pluginSocket, signal);
  const asked = door.verb('Get', { Name: volume });
  const [plugin, service] = await Promise.all([
    asked.then((answer) => (answer.kind === 'ok' ? JSON.stringify(answer.body) : textOf(answer)), messageOf),
    getJson(around.places.adminSocket, `/v1/volumes/${encodeURIComponent(volume)}`).then(JSON.stringify, messageOf),
  ]);
  return [`the plugin says now: ${plugin}`, `the service says now: ${service}`];
}

/** What it logged of the volume, and its connections and errors. */
async function logged(program: Program, volume: string | undefined): Promise<readonly string[]> {
  const lines = (await readFile(program.logFile, 'utf8')).split('\n');
  const name = volume?.slice(0, volume.lastIndexOf('@'));
  const isOfInterest = (line: string): boolean =>
    /"level":"error"|connected to|lost the service|^[^{]/.test(line) ||
    (name !== undefined && line.includes(`"${name}`));
  return [`from the log of ${program.name}:`, ...lines.filter(isOfInterest).slice(-logLines)];
}

function killsIn({ counts }: History): string {
  const kills = [...counts].filter(([name]) => name.startsWith(killsOf)).map(([name, count]) => `${name} ${count}`);
  return kills.length === 0 ? 'nothing was killed' : kills.join(', ');
}
