/**
 * Notices that dockerd was started anew. A managed plugin needs it: dockerd makes no handshake with it, and keeps it
 * running over a restart of its own when live-restore is on. Invariants: each start is told once, before anything that
 * this dockerd asks for is read, whether we ran all the time or were started after it; a restart of ours alone is none.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import type { ProcessTime } from '../ports/holders.ts';
import type { DockerdProcess } from './dockerd.ts';

export interface DockerdStartsOptions {
  /** Of the plugin's state; the last dockerd is remembered in it. */
  readonly folder: string;
  readonly bootId: string;
  readonly logger: Logger;
  readonly onStart: (at: ProcessTime) => void;
}

const fileName = 'last-dockerd';

export class DockerdStarts {
  readonly #options: DockerdStartsOptions;
  readonly #path: string;
  #last: string;

  constructor(options: DockerdStartsOptions) {
    this.#options = options;
    this.#path = join(options.folder, fileName);
    this.#last = ifThere(this.#path);
  }

  /** To be called for each connection of a dockerd before it is read. */
  connected({ pid, startedAt }: DockerdProcess): void {
    const { bootId, logger, onStart } = this.#options;
    const dockerd = `${bootId} ${pid} ${startedAt}\n`;
    if (dockerd === this.#last) return;
    this.#last = dockerd;
    logger.info('dockerd was started', { pid });
    onStart(startedAt);
    try {
      writeFileSync(this.#path, dockerd, { mode: 0o600 });
    } catch (error) {
      logger.warn('could not note that dockerd was started', failureFields(error));
    }
  }
}

function ifThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return '';
    throw error;
  }
}
