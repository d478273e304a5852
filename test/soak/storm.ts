/**
 * A storm without Docker: clients take the steps of their plans against the plugin's socket, all at once, in rounds with
 * a quiet point after each. Invariant: it resolves only when everything was given back and nothing is left on any side;
 * the first violation ends it.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Actor } from './actor.ts';
import { Chaos, pluginOf } from './chaos.ts';
import { openStormBed, type Surroundings } from './bed.ts';
import { History, Violation } from './history.ts';
import { ClientPlan } from './plan.ts';
import { QuietPoints } from './quiet-point.ts';
import { Random } from './random.ts';
import { type Account, accountOf } from './report.ts';
import { type Roster, rosterOf, type VolumeId } from './roster.ts';
import { allOf, Rounds, takeAll, watched } from './rounds.ts';
import { type Scene, sceneOf } from './scene.ts';
import type { Settings } from './settings.ts';
import { type Schedule, Strikes } from './strikes.ts';

const stepsPerRound = 12;
const goldenFiles = 3;

export type Killed = 'plugin' | 'service';

/** @param strikes who is killed when, if anybody; left out, that is random */
export async function storm(settings: Settings, signal: AbortSignal, strikes?: Schedule<Killed>): Promise<Account> {
  const random = new Random(settings.seed);
  const roster = rosterOf(settings.clients, settings.volumes);
  const history = new History();
  await using bed = await openStormBed(random.fork('link'));
  return await watched(settings, { around: bed, history }, signal, async (inner) => {
    const scene = sceneOf(roster, history, bed, inner);
    const quiet = new QuietPoints(scene, bed, 'named');
    await furnish(roster, scene);
    await quiet.check(false);
    const chaos = settings.isChaos ? chaosOf(bed, scene, strikes ?? randomStrikes(random.fork('chaos'))) : undefined;
    const rounds = new Rounds(settings, bed, quiet, inner, chaos);
    const clients = roster.own.map((own, index) => ({
      actor: new Actor(scene, `client${index}`, own),
      plan: new ClientPlan(roster, index, random.fork(`client ${index}`)),
    }));
    using _actors = allOf(clients.map(({ actor }) => actor));
    const ms = await rounds.storm(() =>
      clients.map(({ actor, plan }) => async () => {
        await takeAll(actor, plan.next(stepsPerRound), inner);
        actor.rest();
      }),
    );
    await rounds.round(
      clients.map(({ actor }) => async () => {
        await actor.leave();
        actor.rest();
      }),
    );
    await clear(scene);
    await quiet.check(false);
    await checkEnd(scene, bed);
    return accountOf({ settings, history, link: bed.link, sizes: quiet.most, ms });
  });
}

/** Plugin and service, alone and together. */
function randomStrikes(random: Random): Schedule<Killed> {
  const targets = { plugin: ['plugin'], service: ['service'], both: ['plugin', 'service'] } as const;
  return new Strikes<Killed>(random, targets, { plugin: 4, service: 3, both: 3 });
}

function chaosOf(around: Surroundings, scene: Scene, strikes: Schedule<Killed>): Chaos<Killed> {
  const victims = { plugin: pluginOf(around, scene), service: around.service };
  return new Chaos({ victims, strikes, history: scene.history, signal: scene.signal });
}

/** What all clients share is there before the first of them. */
async function furnish({ shared, contended, golden }: Roster, scene: Scene): Promise<void> {
  using actor = new Actor(scene, 'setup', []);
  const create = (volume: VolumeId, size?: string): Promise<void> =>
    actor.take({ kind: 'create', volume, asked: volume.full, options: size === undefined ? {} : { size } });
  for (const volume of shared) await create(volume);
  for (const volume of contended) await create(volume, '8mb');
  for (const volume of golden) {
    await create(volume, '8mb');
    for (let writer = 0; writer < goldenFiles; writer += 1) {
      using author = new Actor(scene, `author${writer}`, []);
      const id = `golden ${writer}`;
      await author.take({ kind: 'mount', volume, asked: volume.full, id });
      await author.take({ kind: 'write', volume, asked: volume.full, bytes: 10_000 });
      await author.take({ kind: 'unmount', volume, asked: volume.full, id });
    }
  }
}

async function clear(scene: Scene): Promise<void> {
  using actor = new Actor(scene, 'end', []);
  for (const { id } of scene.model.there) {
    if (scene.lives.number > 0) await actor.lookInto(id);
    await actor.take({ kind: 'remove', volume: id, asked: id.full });
  }
}

/** Nothing is mounted any more, no mount point is left, and both programs end as they should. */
export async function checkEnd(scene: Scene, { plugin, service, mountRoot }: Surroundings): Promise<void> {
  const left = await readdir(join(scene.rootFolder, mountRoot), { recursive: true, withFileTypes: true });
  const folders = left.filter(({ parentPath }) => !parentPath.endsWith(mountRoot)).map(({ name }) => name);
  if (folders.length > 0) throw new Violation(undefined, `mount points are left: ${folders.join(', ')}`);
  for (const program of [plugin, service]) {
    const how = await program.stop();
    if (how !== 'code 0') throw new Violation(undefined, `${program.name} ended with ${how}`);
  }
}
