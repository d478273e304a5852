/**
 * Long work on files, in pieces. Invariant: only so many pieces of this process run at once, in order of arrival, however
 * many files are copied or filled: the other worker threads, and most of the processor, stay free for what people wait
 * for.
 */
const places = 2;
const waiting: (() => void)[] = [];
let running = 0;

/** Runs one piece of work when its turn comes. A piece takes some milliseconds. */
export async function bulkPiece<T>(work: () => Promise<T>): Promise<T> {
  if (running < places) running += 1;
  else await new Promise<void>((resolve) => waiting.push(resolve));
  try {
    return await work();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else running -= 1;
  }
}
