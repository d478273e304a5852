/** What every measurement works with. */
import type { DriverClient } from './driver-client.ts';
import type { Floor } from './floor.ts';
import { Product, type ProductOptions } from './product.ts';
import { seedDatastore } from './seed-datastore.ts';
import type { Counts } from './settings.ts';
import type { TestBed } from './test-bed.ts';

export interface Bench {
  readonly bed: TestBed;
  readonly floor: Floor;
  readonly counts: Counts;
  readonly signal: AbortSignal;
}

/** A datastore that is in use has volumes. */
export function startSeeded(
  { bed, signal }: Bench,
  name: string,
  volumes = 100,
  options: ProductOptions = {},
): Promise<Product> {
  seedDatastore(datastoreOf(bed, name), volumes);
  return Product.start(bed, name, signal, options);
}

/** The datastore's folder of the product of this name. */
export function datastoreOf(bed: TestBed, name: string): string {
  return bed.path(`${name}/datastore`);
}

export interface Clients extends Disposable {
  readonly all: readonly DriverClient[];
}

export async function connect(product: Product, count: number): Promise<Clients> {
  using opened = new DisposableStack();
  const all: DriverClient[] = [];
  for (let number = 0; number < count; number++) all.push(opened.use(await product.client()));
  const stack = opened.move();
  return { all, [Symbol.dispose]: () => stack.dispose() };
}
