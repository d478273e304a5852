/**
 * A storm through a real dockerd: as many users as clients were asked for, each with one container at work at a time and
 * some that stay. Invariant: as for the storm without Docker; the IDs of mounts are dockerd's, so only their number is
 * held against the model.
 */
import { DockerActor } from './docker-actor.ts';
import { type DockerBed, openDockerBed } from './docker-bed.ts';
import { dockerChaos } from './docker-chaos.ts';
import { DockerPlan } from './docker-plan.ts';
import { DockerUser } from './docker-user.ts';
import { endForgottenContainers } from './forgotten-containers.ts';
import { forgotten, History, Violation } from './history.ts';
import { Lives } from './lives.ts';
import { QuietPoints } from './quiet-point.ts';
import { Random } from './random.ts';
import { type Account, accountOf } from './report.ts';
import { type Roster, rosterOf } from './roster.ts';
import { Rounds, takeAll, watched } from './rounds.ts';
import { type Scene, sceneOf } from './scene.ts';
import type { Settings } from './settings.ts';
import { SteadyWriter } from './steady-writer.ts';
import { checkEnd } from './storm.ts';

const stepsPerRound = 8;

interface Course {
  readonly settings: Settings;
  readonly random: Random;
  readonly roster: Roster;
  readonly bed: DockerBed;
  readonly scene: Scene;
  readonly liveRestore: boolean;
}

export async function dockerStorm(settings: Settings, signal: AbortSignal): Promise<Account> {
  const random = new Random(settings.seed);
  const roster = rosterOf(settings.clients, settings.volumes);
  const history = new History();
  const liveRestore = settings.isChaos && random.fork('live-restore').chance(0.5);
  if (liveRestore) history.count('dockerd with live-restore');
  await using bed = await openDockerBed(random.fork('link'), { liveRestore, isChaos: settings.isChaos });
  return await watched(settings, { around: bed, history }, signal, async (inner) => {
    const scene = sceneOf(roster, history, bed, inner);
    const { quiet, ms } = await run({ settings, random, roster, bed, scene, liveRestore });
    return accountOf({ settings, history, link: bed.link, sizes: quiet.most, ms });
  });
}

async function run(course: Course): Promise<{ readonly quiet: QuietPoints; readonly ms: number }> {
  const { settings, random, roster, bed, scene, liveRestore } = course;
  const { signal } = scene;
  const outages = new Lives();
  const tidy = async (): Promise<void> => {
    scene.history.count(forgotten, await endForgottenContainers(bed.docker));
  };
  const quiet = settings.isChaos
    ? new QuietPoints(scene, bed, 'at least', tidy)
    : new QuietPoints(scene, bed, 'anonymous');
  const setup = new DockerActor(scene, bed.docker, 'setup', outages);
  for (const volume of roster.shared) await setup.create(volume);
  await quiet.check(false);
  const writer = await writerOf(course, outages, setup);
  const chaos = writer && dockerChaos({ bed, scene, outages, liveRestore, writer, random: random.fork('chaos') });
  const rounds = new Rounds(settings, bed, quiet, signal, chaos);
  const users = roster.own.map((own, index) => {
    const name = `user${index}`;
    const plan = new DockerPlan(name, own, roster.shared, random.fork(name));
    return { own, plan, actor: new DockerActor(scene, bed.docker, name, outages) };
  });
  const revive = async (): Promise<void> => {
    await Promise.all([writer?.revive(), ...users.map(({ actor }) => actor.revive())]);
    const names = ['steady', ...users.flatMap(({ actor }) => actor.names)];
    if (writer) await checkContainers(bed, names);
  };
  const ms = await rounds.storm(
    () =>
      users.map(
        ({ actor, plan }) =>
          () =>
            takeAll(actor, plan.next(stepsPerRound), signal),
      ),
    revive,
  );
  await rounds.round(
    users.map(
      ({ actor, own }) =>
        () =>
          actor.leave(own),
    ),
    writer && revive,
  );
  await writer?.end();
  for (const { actor, own } of users) await actor.leave(own, true);
  await setup.leave(roster.all, true);
  await quiet.check(false);
  await bed.docker.dockerd.stop();
  await checkEnd(scene, bed);
  return { quiet, ms };
}

/** Only where something is killed, and on a volume of its own. */
async function writerOf(course: Course, outages: Lives, setup: DockerActor): Promise<SteadyWriter | undefined> {
  const { bed, roster, scene, settings } = course;
  const [golden] = roster.golden;
  if (!settings.isChaos || !golden) return undefined;
  await setup.create(golden);
  const user = new DockerUser(scene, bed.docker, 'steady', outages);
  const writer = new SteadyWriter(user, scene.model.of(golden));
  await writer.start();
  return writer;
}

/** No container is left but those that are held. */
async function checkContainers({ docker }: DockerBed, held: readonly string[]): Promise<void> {
  const names = (await docker.mustDocker(['ps', '--all', '--format', '{{.Names}}'])).split('\n');
  const left = names.filter((name) => name !== '' && !held.includes(name));
  if (left.length > 0) throw new Violation(undefined, `containers are left: ${left.join(', ')}`);
}
