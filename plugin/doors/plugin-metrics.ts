/**
 * What the plugin tells Prometheus. Invariant: counting costs a request next to nothing; everything that can be read
 * off the plugin's state is read only when somebody asks.
 */
import { readdir } from 'node:fs/promises';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { VolumeDriver } from '../ports/driver.ts';

/** Reads off how many commands were sent to the service so far, by the command's name. */
export type CommandCounts = () => Readonly<Record<string, number>>;

/** From a read out of memory to the longest that dockerd waits. */
const secondsBuckets = [
  0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120,
];

export class PluginMetrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<'verb' | 'code'>;
  readonly #seconds: Histogram<'verb'>;
  readonly #inFlight: Gauge<'verb'>;

  constructor(driver: VolumeDriver, commandCounts: CommandCounts) {
    const registers = [this.#registry];
    this.#requests = new Counter({
      name: 'vmdk_plugin_requests_total',
      help: "Requests of Docker that ended, by verb and by the failure's code or ok",
      labelNames: ['verb', 'code'],
      registers,
    });
    this.#seconds = new Histogram({
      name: 'vmdk_plugin_request_seconds',
      help: 'How long requests of Docker took',
      labelNames: ['verb'],
      buckets: secondsBuckets,
      registers,
    });
    this.#inFlight = new Gauge({
      name: 'vmdk_plugin_requests_in_flight',
      help: 'Requests of Docker that are being worked on',
      labelNames: ['verb'],
      registers,
    });
    addStateMetrics(this.#registry, driver, commandCounts);
    addProcessMetrics(this.#registry);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  began(verb: string): void {
    this.#inFlight.inc({ verb });
  }

  ended(verb: string, code: string, ms: number): void {
    this.#inFlight.dec({ verb });
    this.#requests.inc({ verb, code });
    this.#seconds.observe({ verb }, ms / 1000);
  }

  /** The exposition text. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

function addStateMetrics(registry: Registry, driver: VolumeDriver, commandCounts: CommandCounts): void {
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };
  gauge('vmdk_plugin_known_volumes', 'Volumes that this guest may see', () => driver.health().volumes.known);
  gauge('vmdk_plugin_mounted_volumes', 'Volumes that are mounted here', () => driver.health().volumes.mounted);
  gauge('vmdk_plugin_references', 'Mounts of Docker that are in use', () =>
    driver.health().mounted.reduce((sum, volume) => sum + volume.references.length, 0),
  );
  gauge('vmdk_plugin_host_connected', 'Whether the service on the host can be reached', () =>
    driver.health().host.isConnected ? 1 : 0,
  );
  gauge(
    'vmdk_plugin_view_age_seconds',
    'How old the view is that reads are answered from',
    () => driver.health().host.viewAgeMs / 1000,
  );
  gauge('vmdk_plugin_problems', 'Problems that the health page lists', () => driver.health().problems.length);
  new Counter({
    name: 'vmdk_plugin_channel_commands_total',
    help: 'Commands sent to the service on the host',
    labelNames: ['command'],
    registers,
    collect() {
      this.reset();
      for (const [command, count] of Object.entries(commandCounts())) this.inc({ command }, count);
    },
  });
}

/** The usual names; not the library's whole set, whose observers of the event loop and the collector run all the time. */
function addProcessMetrics(registry: Registry): void {
  const registers = [registry];
  const startSeconds = Math.round(Date.now() / 1000 - process.uptime());
  new Gauge({
    name: 'process_start_time_seconds',
    help: 'Start time of the process since the epoch',
    registers,
    collect() {
      this.set(startSeconds);
    },
  });
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Resident memory',
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Time spent on a processor',
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  new Gauge({
    name: 'process_open_fds',
    help: 'Open file descriptors',
    registers,
    async collect() {
      this.set((await readdir('/proc/self/fd')).length);
    },
  });
}
