/** Tells the log of long work how far it is, every few seconds; short work says nothing. */
import type { FullName } from '../../common/names.ts';
import { formatSize } from '../../common/sizes.ts';
import type { OnProgress } from '../ports/datastore.ts';
import type { Service } from './service.ts';

const intervalMs = 5_000;

export function progressLog(service: Service, what: string, volume: FullName): OnProgress {
  let lastMs = service.now().getTime();
  return ({ doneBytes, totalBytes }) => {
    const nowMs = service.now().getTime();
    if (nowMs - lastMs < intervalMs) return;
    lastMs = nowMs;
    service.logger.info(what, { volume, done: formatSize(doneBytes), total: formatSize(totalBytes) });
  };
}
