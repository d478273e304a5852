/**
 * Other people's programs, run as child processes without a shell. Invariant: when a run has ended, in whatever way,
 * its process has ended too, so that nobody writes to a disk after its caller went on.
 */
import { access, constants } from 'node:fs/promises';
import { resolve } from 'node:path';
import { Fault } from '../../common/fault.ts';
import { runProgram } from '../../native/child-processes.ts';

/** Where the tools of file systems live, also when a service's own search path leaves these out. */
const systemFolders = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
const env = { PATH: systemFolders.join(':'), LC_ALL: 'C' };
/** Of its complaints only the end is shown. */
const keptBytes = 4096;

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
    // Some tools tell their version or their plan on the other output, and flush it only when they end.
    const request = { path, args, env, outputLimitBytes: keptBytes, ignoresStdout: true };
    const { code, output } = await runProgram(request, signal);
    if (code !== undefined && (options.successCodes ?? [0]).includes(code)) return code;
    const how = code === undefined ? 'was killed' : `failed with exit code ${code}`;
    const lastWords = output.trim().split('\n').at(-1)?.trim() ?? '';
    throw new Fault('DamagedVolume', `${options.purpose}: ${name} ${how}${lastWords === '' ? '' : `: ${lastWords}`}`);
  }

  async #lookUp(name: string): Promise<string | undefined> {
    for (const folder of this.#folders) {
      const path = resolve(folder, name);
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

function packageOf(tool: string): string {
  if (tool.includes('xfs')) return 'xfsprogs';
  return tool.includes('btrfs') ? 'btrfs-progs' : 'e2fsprogs';
}
