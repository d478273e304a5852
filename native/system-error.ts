/**
 * Failures of system calls, as Node's own fs module throws them.
 *
 * Invariant: `code` is always a name that can be compared with, also for the errors of disks and mounts that Node has
 * no name for. Nobody reads the message to decide.
 */
import { constants } from 'node:os';
import { getSystemErrorMessage, getSystemErrorName } from 'node:util';

export interface SystemError extends Error {
  readonly code: string;
  /** Negative, as in Node. */
  readonly errno: number;
  readonly syscall: string;
  readonly path?: string;
  readonly dest?: string;
}

/** What mount, loop devices and disks answer, and neither libuv nor os.constants knows. */
const linuxNames: Readonly<Record<number, string>> = {
  15: 'ENOTBLK',
  53: 'EBADR',
  85: 'ERESTART',
  117: 'EUCLEAN',
  121: 'EREMOTEIO',
  123: 'ENOMEDIUM',
  124: 'EMEDIUMTYPE',
  126: 'ENOKEY',
  129: 'EKEYREJECTED',
};
const meanings: Readonly<Record<string, string>> = {
  ENOTBLK: 'block device required',
  EUCLEAN: 'the file system is damaged',
  ENOMEDIUM: 'no medium in the drive',
  EMEDIUMTYPE: 'wrong medium type',
  EREMOTEIO: 'remote I/O error',
};
const nodeNames = new Map(Object.entries(constants.errno).map(([name, errno]) => [errno, name]));

function nameOf(errno: number): string {
  const name = getSystemErrorName(-errno);
  if (!name.startsWith('Unknown')) return name;
  return nodeNames.get(errno) ?? linuxNames[errno] ?? `E${errno}`;
}

/** @param result what the C function returned: -errno */
export function systemError(result: number, syscall: string, path?: string, dest?: string): SystemError {
  const code = nameOf(-result);
  const described = getSystemErrorMessage(result);
  const meaning = meanings[code] ?? (described.startsWith('Unknown') ? 'see errno(3)' : described);
  const where = (path === undefined ? '' : ` '${path}'`) + (dest === undefined ? '' : ` -> '${dest}'`);
  return Object.assign(new Error(`${code}: ${meaning}, ${syscall}${where}`), {
    code,
    errno: result,
    syscall,
    ...(path === undefined ? {} : { path }),
    ...(dest === undefined ? {} : { dest }),
  });
}

/** The result itself, or the failure it stands for. */
export function checked(result: number, syscall: string, path?: string, dest?: string): number {
  if (result < 0) throw systemError(result, syscall, path, dest);
  return result;
}

/** The code of a failed system call, whoever made it; undefined for any other error. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
