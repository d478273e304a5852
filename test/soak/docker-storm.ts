/**
 * A storm through a real dockerd: as many users as clients were asked for, each with one container at work at a time and
 * some that stay. Invariant: as for the storm without Docker; the IDs of mounts are dockerd's, so only their number is
 * held against the model.
 */
import { DockerActor } from './docker-actor.ts';
import { openDockerBed } from './docker-bed.ts';
import { DockerPlan } from './docker-plan.ts';
import { History } from './history.ts';
import { Model } from './model.ts';
import { QuietPoints } from './quiet-point.ts';
import { Random } from './random.ts';
import { type Account, accountOf } from './report.ts';
import { rosterOf } from './roster.ts';
import { Rounds, watched } from './rounds.ts';
import type { Scene } from './scene.ts';
import type { Settings } from './settings.ts';
import { checkEnd } from './storm.ts';

const stepsPerRound = 4;

export async function dockerStorm(settings: Settings, signal: AbortSignal): Promise<Account> {
  const random = new Random(settings.seed);
  const roster = rosterOf(settings.clients, settings.volumes);
  const history = new History();
  await using bed = await openDockerBed(random.fork('link'));
  return await watched(settings, { around: bed, history }, signal, async (inner) => {
    const scene: Scene = {
      model: new Model(roster),
      history,
      pluginSocket: bed.pluginSocket,
      mountRoot: bed.mountRoot,
      rootFolder: () => `/proc/${bed.plugin.pid}/root`,
      signal: inner,
    };
    const quiet = new QuietPoints(scene, bed, 'anonymous');
    const setup = new DockerActor(scene, bed.docker, 'setup');
    for (const volume of roster.shared) await setup.create(volume);
    await quiet.check(false);
    const rounds = new Rounds(settings, bed, quiet, inner);
    const users = roster.own.map((own, index) => {
      const name = `user${index}`;
      const plan = new DockerPlan(name, own, roster.shared, random.fork(name));
      return { own, plan, actor: new DockerActor(scene, bed.docker, name) };
    });
    const ms = await rounds.storm(() =>
      users.map(
        ({ actor, plan }) =>
          () =>
            takeAll(actor, plan, inner),
      ),
    );
    await rounds.round(
      users.map(
        ({ actor, own }) =>
          () =>
            actor.leave(own),
      ),
    );
    await setup.leave(roster.shared);
    await quiet.check(false);
    await bed.docker.dockerd.stop();
    await checkEnd(scene, bed);
    return accountOf({ settings, history, link: bed.link, sizes: quiet.most, ms });
  });
}

async function takeAll(actor: DockerActor, plan: DockerPlan, signal: AbortSignal): Promise<void> {
  for (const step of plan.next(stepsPerRound)) {
    signal.throwIfAborted();
    await actor.take(step);
  }
}
