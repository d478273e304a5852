/** One program run to its end, with all that it said. A code other than 0 is an answer, not an error. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { deadline } from '../common/deadline.ts';

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
  /** 128 + n is not used: a killed program has the code -1 and its signal in `stderr`. */
  readonly code: number;
}

export interface CommandOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** After this long the program is killed and the wait fails. */
  readonly timeoutMs?: number;
  /** Its abort kills the program, too. */
  readonly signal?: AbortSignal;
}

export type Command = readonly [program: string, ...args: string[]];

export async function runCommand(command: Command, options: CommandOptions = {}): Promise<CommandResult> {
  const [program, ...args] = command;
  using limit = deadline(options.timeoutMs ?? 60_000, `"${command.join(' ')}"`, options.signal);
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: options.env,
    signal: limit.signal,
    killSignal: 'SIGKILL',
  });
  const ended = new Promise<{ code: number; note: string }>((resolve, reject) => {
    child.on('error', (error) => reject(limit.signal.aborted ? (limit.signal.reason as Error) : error));
    child.on('close', (code, killedBy) =>
      resolve(code === null ? { code: -1, note: String(killedBy) } : { code, note: '' }),
    );
  });
  const [{ code, note }, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  return { stdout, stderr: stderr + note, code };
}

/**
 * As `runCommand`, for programs that must succeed.
 * @returns what it wrote to its standard output
 * @throws Error with its code and what it said
 */
export async function mustRun(command: Command, options: CommandOptions = {}): Promise<string> {
  const { stdout, stderr, code } = await runCommand(command, options);
  if (code !== 0) throw new Error(`"${command.join(' ')}" ended with ${code}: ${stderr.trim() || stdout.trim()}`);
  return stdout;
}
