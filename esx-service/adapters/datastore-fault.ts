/**
 * What failed on a datastore, in one sentence that names it, its path and what its administrator can do. Invariant: decided
 * by the error's code alone; a fault that says what happened already stays as it is.
 */
import { Fault, faultOf, messageOf } from '../../common/fault.ts';
import { codeOf } from '../../native/system-error.ts';

export interface DatastorePlace {
  readonly name: string;
  readonly path: string;
}

/** By these the kernel says that a folder, or the disk below it, is not there to be used. */
const goneCodes: ReadonlySet<string> = new Set([
  ...['ENOENT', 'ENOTDIR', 'EIO', 'ENXIO', 'ENODEV', 'ENOMEDIUM', 'EREMOTEIO', 'EUCLEAN'],
  ...['ESTALE', 'ENOTCONN', 'ESHUTDOWN', 'EHOSTDOWN', 'ETIMEDOUT', 'EACCES', 'EPERM'],
]);

export function isGone(error: unknown): boolean {
  return goneCodes.has(codeIn(error) ?? '');
}

/** @param doing what was not done, as the end of "cannot …" */
export function datastoreFault(error: unknown, { name, path }: DatastorePlace, doing: string): unknown {
  const code = codeIn(error);
  const where = `cannot ${doing}: datastore ${name} (${path})`;
  if (faultOf(error).code === 'NoSpace' || code === 'ENOSPC' || code === 'EDQUOT') {
    const hint = 'remove volumes, make it larger, or ask for less';
    return new Fault('NoSpace', `${where} has no space left; ${hint}`, { cause: error });
  }
  if (hiddenFault(error)) return error;
  if (code === 'EROFS') {
    return new Fault('HostUnavailable', `${where} is read-only; make it writable again`, { cause: error });
  }
  if (!goneCodes.has(code ?? '')) return error;
  return new Fault(
    'HostUnavailable',
    `${where} fails: ${messageOf(innermost(error))}; see that its disk is in order and mounted`,
    { cause: error },
  );
}

function hiddenFault(error: unknown): boolean {
  return error instanceof Fault || faultOf(innermost(error)).class !== 'bug';
}

function codeIn(error: unknown): string | undefined {
  return codeOf(innermost(error));
}

/** What failed first: taking it back may have failed as well. */
function innermost(error: unknown): unknown {
  let inner = error;
  while (inner instanceof Error && 'suppressed' in inner && inner.suppressed !== undefined) inner = inner.suppressed;
  return inner;
}
