/** Where a dockerd stands that does not answer: for people who look into a violation. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { deadline, pause } from '../../common/deadline.ts';
import { messageOf } from '../../common/fault.ts';
import type { PrivateDocker } from '../docker/harness/private-docker.ts';

const writingMs = 10_000;
/** What works on a container or a volume passes through one of these; all others wait all their lives. */
const works = /docker\/volume\/|daemon\.\(\*Daemon\)\.[Cc]ontainer|daemon\.\(\*Daemon\)\.create|plugins\.\(\*Client\)/;

/** @returns the functions in which goroutines are that work on a container or a volume */
export async function stacksOf(docker: PrivateDocker): Promise<string> {
  try {
    process.kill(docker.dockerd.pid, 'SIGUSR1');
    const goroutines = (await writtenStacks(join(docker.folder, 'exec'))).split('\n\n');
    const working = goroutines.filter((one) => works.test(one));
    const functions = working.map((one) => one.replaceAll(/\n\t.*/g, ''));
    return `dockerd, ${goroutines.length} goroutines, at work:\n${functions.join('\n\n')}`;
  } catch (error) {
    return `dockerd does not tell where it stands: ${messageOf(error)}`;
  }
}

/** Its last line ends it: a file that is still being written ends elsewhere. */
async function writtenStacks(folder: string): Promise<string> {
  using limit = deadline(writingMs, 'waiting for the stacks of dockerd');
  for (;;) {
    const name = (await readdir(folder)).find((file) => file.startsWith('goroutine-stacks-'));
    const text = name === undefined ? '' : await readFile(join(folder, name), 'utf8');
    if (text.endsWith('\n')) return text;
    await pause(50, limit.signal);
  }
}
