/**
 * Other people's programs, run as child processes without a shell. Invariant: when a run has ended, in whatever way,
 * its process has ended too, so that nobody writes to a disk after its caller went on.
 */
import { spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { join } from 'node:path';
import { Fault } from '../../common/fault.ts';

/** Where the tools of file systems live, also when a service's own search path leaves these out. */
const systemFolders = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
/** Of its complaints only the end is shown. */
const keptCharacters = 4096;

export interface ToolOptions {
  /** What it is run for, for messages: "formatting /dev/sdb". */
  readonly purpose: string;
  /** Exit codes that are a success; 0 when left out. */
  readonly successCodes?: readonly number[];
}

export class Tools {
  readonly #folders: readonly string[];
  readonly #found = new Map<string, Promise<string | undefined>>();

  /** @param searchPath folders separated by colons, as in PATH; those of the system come after it */
  constructor(searchPath: string, afterwards: readonly string[] = systemFolders) {
    this.#folders = [...searchPath.split(':').filter((folder) => folder !== ''), ...afterwards];
  }

  /** Its path; looked up once. */
  find(name: string): Promise<string | undefined> {
    const known = this.#found.get(name) ?? this.#lookUp(name);
    this.#found.set(name, known);
    return known;
  }

  /**
   * Runs it to its end and gives its exit code; an abort kills it.
   * @throws Fault NotSupported when it is not installed, DamagedVolume with its last words when it fails, or the
   * signal's reason
   */
  async run(name: string, args: readonly string[], options: ToolOptions, signal: AbortSignal): Promise<number> {
    const path = await this.find(name);
    if (path === undefined) {
      throw new Fault(
        'NotSupported',
        `${options.purpose} needs ${name}, which is not installed; install ${packageOf(name)}`,
      );
    }
    signal.throwIfAborted();
    const { code, lastWords } = await outcomeOf(path, args, signal);
    signal.throwIfAborted();
    if (code !== null && (options.successCodes ?? [0]).includes(code)) return code;
    const how = code === null ? 'was killed' : `failed with exit code ${code}`;
    throw new Fault('DamagedVolume', `${options.purpose}: ${name} ${how}${lastWords === '' ? '' : `: ${lastWords}`}`);
  }

  async #lookUp(name: string): Promise<string | undefined> {
    for (const folder of this.#folders) {
      const path = join(folder, name);
      try {
        await access(path, constants.X_OK);
        return path;
      } catch {
        // Not in this folder.
      }
    }
    return undefined;
  }
}

async function outcomeOf(
  path: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<{ readonly code: number | null; readonly lastWords: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  const child = spawn(path, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: systemFolders.join(':'), LC_ALL: 'C' },
  });
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints = (complaints + text).slice(-keptCharacters);
  });
  child.once('error', reject).once('close', resolve);
  const kill = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', kill, { once: true });
  try {
    const code = await promise;
    return { code, lastWords: complaints.trim().split('\n').at(-1)?.trim() ?? '' };
  } finally {
    signal.removeEventListener('abort', kill);
  }
}

function packageOf(tool: string): string {
  if (tool.includes('xfs')) return 'xfsprogs';
  return tool.includes('btrfs') ? 'btrfs-progs' : 'e2fsprogs';
}
