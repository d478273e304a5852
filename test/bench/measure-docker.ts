/**
 * A volume's use through a real dockerd: `volume create`, `run --rm`, `volume rm`, with three drivers in turns: Docker's
 * own on a loop device that bears a file system already, one that does nothing, and ours. Its files, and the disks of
 * all three, are in the system's temporary folder, since dockerd's sockets need short paths.
 */
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { mustRun } from '../../scripts/command.ts';
import { images } from '../docker/harness/images.ts';
import { PrivateDocker } from '../docker/harness/private-docker.ts';
import { EngineClient, type NewVolume } from './engine-client.ts';
import type { DockerFigures, DockerRuns } from './figures.ts';
import { startNoopDriver } from './noop-driver.ts';
import { median, summary } from './statistics.ts';

const kinds = ['local', 'noop', 'vmdk'] as const;
type Kind = (typeof kinds)[number];

interface Use {
  readonly create: number;
  readonly run: number;
  readonly remove: number;
}

type UseRound = Readonly<Record<Kind, Use>>;

const sizeBytes = 100 * 1024 ** 2;

/** @param mkfs with `DEVICE` for the device */
export async function measureDocker(
  rounds: number,
  mkfs: readonly string[],
  signal: AbortSignal,
): Promise<DockerFigures> {
  await using docker = await PrivateDocker.start();
  await docker.startPlugin();
  const mountpoint = join(docker.folder, 'noop');
  await mkdir(mountpoint);
  await using _noop = await startNoopDriver(join(docker.runFolder, 'docker/plugins/noop.sock'), mountpoint);
  const device = await preparedLoop(join(docker.folder, 'local.img'), mkfs);
  using engine = new EngineClient(join(docker.folder, 'docker.sock'), signal);
  const volumeOf = (kind: Kind, name: string): NewVolume => {
    const options = { local: { type: 'ext4', device }, noop: {}, vmdk: { size: '100mb' } } as const;
    return { Name: name, Driver: kind, DriverOpts: options[kind] };
  };
  const found: UseRound[] = [];
  for (let round = -1; round < rounds; round++) {
    const uses: Partial<Record<Kind, Use>> = {};
    for (let place = 0; place < kinds.length; place++) {
      const kind = kinds[(round + 1 + place) % kinds.length] ?? 'local';
      uses[kind] = await useOnce(engine, volumeOf(kind, `${kind}-${String(round + 1)}`));
    }
    // The first round makes dockerd meet its drivers.
    if (round >= 0) found.push(uses as UseRound);
  }
  return {
    local: summaries(found.map(({ local }) => local)),
    noop: summaries(found.map(({ noop }) => noop)),
    vmdk: summaries(found.map(({ vmdk }) => vmdk)),
    vmdkPerLocal: median(found.map(({ vmdk, local }) => totalOf(vmdk) / totalOf(local))),
    vmdkPerNoop: median(found.map(({ vmdk, noop }) => totalOf(vmdk) / totalOf(noop))),
  };
}

async function useOnce(engine: EngineClient, volume: NewVolume): Promise<Use> {
  const create = await timed(() => engine.createVolume(volume));
  const run = await timed(() => engine.run(images.plain, volume.Name));
  const remove = await timed(() => engine.removeVolume(volume.Name));
  return { create, run, remove };
}

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** It goes with the folder of the private Docker, which detaches what is below. */
async function preparedLoop(image: string, mkfs: readonly string[]): Promise<string> {
  await using file = await open(image, 'wx');
  await file.truncate(sizeBytes);
  const device = (await mustRun(['losetup', '--find', '--show', image])).trim();
  const [program = '', ...args] = mkfs.map((word) => (word === 'DEVICE' ? device : word));
  await mustRun([program, ...args]);
  return device;
}

function totalOf({ create, run, remove }: Use): number {
  return create + run + remove;
}

function summaries(uses: readonly Use[]): DockerRuns {
  return {
    create: summary(uses.map((use) => use.create)),
    run: summary(uses.map((use) => use.run)),
    remove: summary(uses.map((use) => use.remove)),
    total: summary(uses.map(totalOf)),
  };
}
