/**
 * Work on many things, a few at once: each at work may cost a descriptor and a worker thread. Invariant: never more
 * than so many are at work; after a failure none is begun.
 */

/**
 * @returns the results, in the order of the items
 * @throws the first failure; what was at work then goes on to its end
 */
export async function inParallel<T, R>(
  items: Iterable<T>,
  atOnce: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let begun = 0;
  let hasFailed = false;
  const queue = Iterator.from(items);
  const drain = async (): Promise<void> => {
    for (let next = queue.next(); !next.done && !hasFailed; next = queue.next()) {
      const place = begun++;
      try {
        results[place] = await work(next.value);
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, drain));
  return results;
}
