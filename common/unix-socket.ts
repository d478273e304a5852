/**
 * Listening on a Unix socket. Invariants: the file appears at its path with its final mode, ready for connections; a
 * file that is there is replaced only if it is a socket that surely nobody listens on; on close the file is removed
 * only if it is still the one made here. Left to callers: close this before the server, end the connections, and listen
 * for the server's later errors.
 */
import type { Stats } from 'node:fs';
import { chmod, link, lstat, mkdir, mkdtemp, readdir, rm, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { errnoOf, Fault, messageOf } from './fault.ts';

/** What the kernel's `sun_path` holds before its NUL. */
export const maxSocketPathBytes = 107;

export interface ListeningSocket extends AsyncDisposable {
  readonly path: string;
  /** Removes the file and stops listening; connections that were accepted go on. May be called again. */
  close(): Promise<void>;
}

/** Tells the number of the process that listens on a socket, where that can be seen. */
export type OwnerOf = (path: string) => Promise<number | undefined>;

export interface SocketOptions {
  readonly mode: number;
  /** For the refusal of a path on which another process listens. */
  readonly ownerOf?: OwnerOf;
}

const probeTimeoutMs = 2_000;
const maxReplacements = 5;
const birthplacePrefix = '.s';
const bornName = 's';
/** A start is through with its birthplace long before. */
const oldBirthplaceMs = 60_000;

/**
 * Works for any server that listens as `net.Server` does, `http.Server` too. Makes the folders above the path.
 * @throws Fault Busy when another process listens there, InvalidRequest when the path cannot be used
 */
export async function listenOnSocket(server: Server, path: string, options: SocketOptions): Promise<ListeningSocket> {
  const folder = dirname(path);
  try {
    await mkdir(folder, { recursive: true, mode: 0o755 });
    await removeOldBirthplaces(folder);
    // Born in a folder that only we may enter, and linked to its path when all is set: there is no window in which it
    // could be reached with another mode, and no chance to overwrite what appeared at the path meanwhile.
    const birthplace = await mkdtemp(join(folder, birthplacePrefix));
    try {
      const born = join(birthplace, bornName);
      checkLength(path, born);
      await listen(server, born);
      await chmod(born, options.mode);
      await publish(born, path, options.ownerOf);
      const { dev, ino } = await lstat(born);
      return listening(server, path, { dev, ino });
    } finally {
      await rm(birthplace, { recursive: true, force: true });
    }
  } catch (error) {
    server.close();
    if (error instanceof Fault) throw error;
    throw new Fault('InvalidRequest', `cannot listen on ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** What a start that was killed left. */
async function removeOldBirthplaces(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!/^\.s\w{6}$/.test(name)) continue;
    const birthplace = join(folder, name);
    const found = await lstatIfThere(birthplace);
    if (!found?.isDirectory() || Date.now() - found.mtimeMs < oldBirthplaceMs) continue;
    const files = await readdir(birthplace);
    const born = join(birthplace, bornName);
    if (files.some((file) => file !== bornName) || !(await isSurelyDead(born))) continue;
    await rm(birthplace, { recursive: true, force: true });
  }
}

function checkLength(path: string, born: string): void {
  const length = Math.max(Buffer.byteLength(path), Buffer.byteLength(born));
  if (length <= maxSocketPathBytes) return;
  throw new Fault(
    'InvalidRequest',
    `cannot listen on ${path}: the path is ${length - maxSocketPathBytes} bytes too long`,
  );
}

async function listen(server: Server, path: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const onListening = (): void => resolve(undefined);
  server.once('listening', onListening).once('error', reject);
  try {
    server.listen(path);
    await promise;
  } finally {
    server.off('listening', onListening).off('error', reject);
  }
}

async function publish(born: string, path: string, ownerOf: OwnerOf | undefined): Promise<void> {
  for (let attempt = 0; attempt < maxReplacements; attempt += 1) {
    try {
      await link(born, path);
      return;
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
    }
    await removeDead(path, ownerOf);
  }
  throw new Fault('Busy', `cannot listen on ${path}: another process keeps making that file`);
}

async function removeDead(path: string, ownerOf: OwnerOf | undefined): Promise<void> {
  const found = await refuseUnlessDead(path, ownerOf);
  const now = await lstatIfThere(path);
  if (found && now?.ino === found.ino && now.dev === found.dev) await unlink(path);
}

/** To be told at once what `listenOnSocket` would find in the end; changes nothing. Throws as that does. */
export async function checkNobodyListens(path: string, ownerOf?: OwnerOf): Promise<void> {
  await refuseUnlessDead(path, ownerOf);
}

/** What is there, if anything is: a socket on which surely nobody listens. */
async function refuseUnlessDead(path: string, ownerOf: OwnerOf | undefined): Promise<Stats | undefined> {
  const found = await lstatIfThere(path);
  if (!found) return undefined;
  if (!found.isSocket()) {
    throw new Fault(
      'InvalidRequest',
      `cannot listen on ${path}: ${basename(path)} is there and is no socket; remove it`,
    );
  }
  if (await isSurelyDead(path)) return found;
  const owner = await ownerOf?.(path);
  const who = owner === undefined ? 'another process' : `process ${owner}`;
  throw new Fault('Busy', `cannot listen on ${path}: ${who} listens there; stop it first`);
}

/** Only a refused connection proves that nobody listens; a full backlog, a denial or silence does not. */
async function isSurelyDead(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(path);
  socket.setTimeout(probeTimeoutMs, () => resolve(false));
  socket.once('connect', () => resolve(false));
  socket.once('error', (error) => resolve(['ECONNREFUSED', 'ENOENT'].includes(errnoOf(error) ?? '')));
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}

async function lstatIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
}

function listening(
  server: Server,
  path: string,
  ours: { readonly dev: number; readonly ino: number },
): ListeningSocket {
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    // While the server is open its inode number cannot be given to another file, so equal numbers mean the same file.
    const found = await lstatIfThere(path);
    if (found?.ino === ours.ino && found.dev === ours.dev) await unlink(path);
    server.close();
  };
  return {
    path,
    close: () => (closing ??= close()),
    [Symbol.asyncDispose]: () => (closing ??= close()),
  };
}
