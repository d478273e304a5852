/**
 * Every history of Mounts and Unmounts that dockerd was seen to make and that does not add up, replayed on a fake guest.
 * (What dockerd 20.10 can be made to do is done in test/docker/anomalies.test.ts.)
 */
import test, { type ExecutionContext } from 'ava';
import { Fault } from '../../../common/fault.ts';
import { FakeGuest } from '../fakes/fake-guest.ts';
import { graceMs, type PluginUnderTest, startPlugin } from '../fakes/plugin-under-test.ts';

/**
 * A history in words: `M:a` and `U:a` are calls with that mount ID, `M:a!` a Mount whose caller hangs up before the
 * answer, `U:a!` an Unmount that the kernel refuses; `run` and `end` are a container's process coming and the last one going;
 * `dockerd` and `plugin` a restart of either, `wiped` one of the plugin that lost its record; `sweep` is a grace time
 * that passes. `=N` says that now the volume is mounted with N references, `gone` that it is neither mounted nor
 * attached, `used` that it is mounted, whatever the references.
 */
const histories: readonly (readonly [string, string])[] = [
  ['cp on a running container', 'M:a run =1 M:a =2 U:a =1 sweep =1 end U:a gone'],
  ['dockerd killed without live-restore, container started again', 'M:a run dockerd end M:a =1 run end U:a gone'],
  [
    'dockerd killed, one container runs again before the other is started again',
    'M:a run M:b dockerd end M:a =2 run M:b =2 end U:a =1 U:b gone',
  ],
  [
    'dockerd and plugin killed, one container runs again before the other is started again',
    'M:a run M:b plugin dockerd end M:a =2 run M:b =2 end U:a =1 U:b gone',
  ],
  ['live-restore, cp beside a container that is new', 'M:a run dockerd M:b run M:a =3 U:a =2 U:b =1 end U:a gone'],
  ['dockerd killed, container removed instead', 'M:a run dockerd end =1 sweep gone'],
  ['container ended while dockerd was down, started again', 'M:a run end dockerd M:a =1 run end U:a gone'],
  ['container ended while dockerd was down, never started', 'M:a run end dockerd sweep gone'],
  ['live-restore on 20.10, cp, and a stop that sends nothing', 'M:a run dockerd M:a =2 U:a =1 sweep =1 end sweep gone'],
  ['live-restore on 26.1, cp, and a stop', 'M:a run dockerd M:a U:a =1 end U:a gone'],
  [
    'an Unmount that was answered with an error; the ID is used for ever',
    'M:a run end U:a! =0 M:a =1 run end U:a gone',
  ],
  ['an Unmount that was answered with an error, and nothing after', 'M:a run end U:a! =0 sweep gone'],
  ['a Mount that timed out', 'M:a! gone M:b =1 run end U:b gone'],
  ['a connection lost in a Mount, then a new ID', 'M:a! M:b run =1 end U:b gone'],
  ['plugin down while its container stopped', 'M:a run end plugin M:a =1 run end U:a gone'],
  ['plugin down while its container stopped, which is never started again', 'M:a run end plugin =1 sweep gone'],
  [
    'plugin disabled by force under a container, enabled, container stopped and started',
    'M:a run plugin end M:a =1 run end U:a gone',
  ],
  [
    'plugin lost its record under two containers, which stop one after another',
    'M:a run M:b wiped used U:a used end U:b gone',
  ],
  ['a shared volume whose containers restart in turns', 'M:a run M:b =2 U:a =1 M:c =2 U:b =1 end U:c gone'],
  ['an Unmount too many', 'M:a run M:b end U:a U:a =1 U:b gone U:b gone'],
];

class Replay {
  readonly #t: ExecutionContext;
  readonly #guest = new FakeGuest();
  #plugin: PluginUnderTest | undefined;

  constructor(t: ExecutionContext) {
    this.#t = t;
    this.#guest.addVolume('a@local');
  }

  async play(history: string): Promise<void> {
    await this.#step('plugin');
    for (const [place, word] of history.split(' ').entries()) {
      await this.#step(word);
      await this.#plugin?.idle();
      this.#t.deepEqual(this.#guest.violations, [], `${place}: ${word}`);
    }
  }

  async #step(word: string): Promise<void> {
    switch (word) {
      case 'run':
        this.#guest.holders.add('a@local');
        return;
      case 'end':
        this.#guest.holders.clear();
        return;
      case 'dockerd':
        this.#plugin?.volumes.activated();
        return;
      case 'wiped':
      case 'plugin':
        if (word === 'wiped') this.#guest.log.length = 0;
        this.#plugin = await startPlugin(this.#guest);
        return;
      default:
        await this.#act(word);
    }
  }

  async #act(word: string): Promise<void> {
    const plugin = this.#plugin;
    if (!plugin) return;
    const disk = this.#guest.disks.get('a@local');
    const references = [...plugin.held.values()].flatMap(({ references: { carried, current } }) => [
      ...carried,
      ...current,
    ]);
    if (word === 'sweep') {
      await plugin.sweeper.look();
      plugin.clock.nowMs += graceMs;
      await plugin.sweeper.look();
    } else if (word === 'gone') {
      this.#t.deepEqual([disk?.isAttached, disk?.mountedAt], [false, undefined]);
    } else if (word === 'used' || word.startsWith('=')) {
      this.#t.is(disk?.mountedAt, '/mnt/vmdk/local/a');
      if (word !== 'used') this.#t.is(`=${references.length}`, word);
    } else {
      await this.#call(plugin, word);
    }
  }

  async #call({ volumes }: PluginUnderTest, word: string): Promise<void> {
    const [verb = '', id = ''] = word.replace('!', '').split(':');
    const fails = word.endsWith('!');
    const caller = new AbortController();
    if (verb === 'M') {
      const mounting = volumes.mount('a', id, caller.signal);
      if (fails) caller.abort(new Fault('Cancelled', 'the caller hung up'));
      await (fails ? this.#t.throwsAsync(mounting) : mounting);
    } else {
      if (fails) this.#guest.failNext('unmount', 'refused');
      const unmounting = volumes.unmount('a', id);
      await (fails ? this.#t.throwsAsync(unmounting) : unmounting);
    }
  }
}

for (const [name, history] of histories) {
  test(`anomalies, replayed on a fake guest: ${name}`, async (t) => {
    await new Replay(t).play(history);
  });
}
