/**
 * The dockerd that we serve, told from others by the process that connects, and what it sees of our mounts. Invariant:
 * whatever cannot be found out is taken for in order, since a wrong alarm would keep containers from their volumes.
 */
import { readFileSync } from 'node:fs';
import { readFile, readlink } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { errnoOf } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import { parseMountinfo } from '../../native/mountinfo.ts';
import { peerProcess } from '../../native/peer-process.ts';
import { startTicks, startTicksIn } from '../../native/process-times.ts';
import type { DockerReach } from '../ports/docker-reach.ts';
import type { ProcessTime } from '../ports/holders.ts';
import { mountsOfDevice } from './device-mounts.ts';

export interface DockerdProcess {
  readonly pid: number;
  readonly startedAt: ProcessTime;
}

/** As the kernel names its process. */
const programName = 'dockerd';

export class Dockerd implements DockerReach {
  readonly #logger: Logger;
  #last: DockerdProcess | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /**
   * To be called for each connection before it is read.
   * @returns the dockerd that made it, unless it was somebody else
   */
  connected(connection: Socket): DockerdProcess | undefined {
    try {
      const pid = peerProcess(connection);
      if (pid === undefined || ifThere(`/proc/${pid}/comm`)?.trim() !== programName) return undefined;
      const stat = ifThere(`/proc/${pid}/stat`);
      if (stat === undefined) return undefined;
      return (this.#last = { pid, startedAt: startTicksIn(stat) });
    } catch (error) {
      this.#logger.warn('could not find out whether dockerd has connected', failureFields(error));
      return undefined;
    }
  }

  /** Costs nothing but two links where dockerd shares our mount namespace, and the reading of its mount table elsewhere. */
  async isHidden(devicePath: string): Promise<boolean> {
    if (!this.#last) return false;
    const { pid, startedAt } = this.#last;
    try {
      const [its, ours] = await Promise.all([readlink(`/proc/${pid}/ns/mnt`), readlink('/proc/self/ns/mnt')]);
      if (its === ours) return false;
      const [mounts, text] = await Promise.all([
        mountsOfDevice(devicePath),
        readFile(`/proc/${pid}/mountinfo`, 'utf8'),
      ]);
      // Its number may be another's by now; and a process that ends shows no mounts.
      if (text === '' || (await startTicks(pid)) !== startedAt) return false;
      return !(mounts.maybeIn(text) && parseMountinfo(text).some(mounts.isOne));
    } catch (error) {
      this.#logger.debug('could not find out what dockerd sees', failureFields(error));
      return false;
    }
  }
}

function ifThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
}
