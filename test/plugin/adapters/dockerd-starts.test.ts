/** A process of dockerd's name connects, and is told apart from others by when it was started. */
import { connect } from 'node:net';
import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import { silentLogger } from '../../../common/logging.ts';
import { startTicks } from '../../../native/process-times.ts';
import { Dockerd } from '../../../plugin/adapters/dockerd.ts';
import { DockerdStarts } from '../../../plugin/adapters/dockerd-starts.ts';
import { ConnectionScene } from './connection-scene.ts';

class Scene {
  readonly told: number[] = [];
  readonly connections: ConnectionScene;
  #starts: DockerdStarts;

  private constructor(connections: ConnectionScene) {
    this.connections = connections;
    this.#starts = this.#started();
  }

  static async open(t: ExecutionContext): Promise<Scene> {
    const connections = await ConnectionScene.open(t);
    const scene = new Scene(connections);
    const dockerd = new Dockerd(silentLogger);
    connections.onConnection = (connection) => {
      const process = dockerd.connected(connection);
      if (process) scene.#starts.connected(process);
    };
    return scene;
  }

  /** Our process, not dockerd. */
  restart(): void {
    this.#starts = this.#started();
  }

  #started(): DockerdStarts {
    const onStart = (at: number): void => void this.told.push(at);
    return new DockerdStarts({ folder: this.connections.folder, bootId: 'boot', logger: silentLogger, onStart });
  }
}

test('dockerd starts: each dockerd is told once, with its start, however often it connects', async (t) => {
  const scene = await Scene.open(t);
  const first = scene.connections.dockerd(t);
  await scene.connections.made(first);
  await scene.connections.made(first);
  t.deepEqual(scene.told, [await startTicks(Number(first.pid))]);
  const second = scene.connections.dockerd(t);
  await scene.connections.made(second);
  t.deepEqual(scene.told.slice(1), [await startTicks(Number(second.pid))]);
});

test('dockerd starts: the plugin was started again under the same dockerd: that is no start of dockerd', async (t) => {
  const scene = await Scene.open(t);
  const dockerd = scene.connections.dockerd(t);
  await scene.connections.made(dockerd);
  scene.restart();
  await scene.connections.made(dockerd);
  t.is(scene.told.length, 1);
  scene.restart();
  await scene.connections.made(scene.connections.dockerd(t));
  t.is(scene.told.length, 2, 'another dockerd, after a restart of both');
});

test('dockerd starts: who else connects is none', async (t) => {
  const scene = await Scene.open(t);
  const connection = connect(scene.connections.socket);
  t.teardown(() => connection.destroy());
  await once(connection, 'connect');
  await scene.connections.made(scene.connections.dockerd(t));
  t.is(scene.told.length, 1);
});
