/**
 * How soon plugin and service are back after a kill, with many volumes known and many of them mounted. Each mounted one
 * is there again with its reference when the plugin answers, which is checked.
 */
import { type Bench, connect, startSeeded } from './bench.ts';
import type { RecoveryFigures } from './figures.ts';
import type { Product } from './product.ts';
import { seededName } from './seed-datastore.ts';
import { summary } from './statistics.ts';

const mountClients = 8;

export async function measureRecovery(bench: Bench): Promise<RecoveryFigures> {
  const { known, mounted, rounds } = bench.counts.recovery;
  await using product = await startSeeded(bench, 'recovery', known, { form: 'apart' });
  await mountAll(product, mounted);
  const plugin: number[] = [];
  const service: number[] = [];
  for (let round = 0; round < rounds; round++) {
    await product.restartPlugin();
    plugin.push(product.startMs);
    await checkMounted(product, mounted);
    await product.restartService();
    service.push(product.service?.startMs ?? 0);
    await checkMounted(product, mounted);
  }
  await unmountAll(product, mounted);
  return { known, mounted, plugin: summary(plugin), service: summary(service) };
}

async function mountAll(product: Product, count: number): Promise<void> {
  await withEach(product, count, (client, name) => client.mount(name, name));
}

async function unmountAll(product: Product, count: number): Promise<void> {
  await withEach(product, count, (client, name) => client.unmount(name, name));
}

async function withEach(
  product: Product,
  count: number,
  act: (client: Awaited<ReturnType<Product['client']>>, name: string) => Promise<unknown>,
): Promise<void> {
  using clients = await connect(product, mountClients);
  const names = Array.from({ length: count }, (_, number) => seededName(number)).values();
  await Promise.all(
    clients.all.map(async (client) => {
      for (const name of names) await act(client, name);
    }),
  );
}

async function checkMounted(product: Product, wanted: number): Promise<void> {
  using client = await product.client();
  const found = await client.countMounted();
  if (found !== wanted)
    throw new Error(`after a restart ${String(found)} volumes are mounted instead of ${String(wanted)}`);
}
