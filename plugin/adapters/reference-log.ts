/**
 * The references in an append-only file. Invariants: when `append` has returned, the change outlives this process, and
 * when it threw, the file holds nothing of it; a file that cannot be read in full is kept aside under another name,
 * never overwritten; the file's size stays bounded by what it means. It is not flushed to the disk: a guest that goes
 * down takes the mounts, which alone it speaks of, with it. Left to callers: one log for a folder.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, renameSync, writeSync } from 'node:fs';
import { mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, Fault, messageOf } from '../../common/fault.ts';
import { failureFields, type Logger } from '../../common/logging.ts';
import type { ReferenceChange, ReferenceLog } from '../ports/reference-log.ts';
import { version } from '../../common/version.ts';
import { changeLine, compacted, headerLine, journalVersion, readJournal } from './reference-journal.ts';
import { stateFolderFault } from './state-folder.ts';

export interface FileReferenceLogOptions {
  readonly folder: string;
  readonly logger: Logger;
  /** The kernel's, which is read when none is given. */
  readonly bootId?: string;
  /** How many lines the file may have before it is compacted; four times what it then means, when that is more. */
  readonly compactAtLines?: number;
}

const fileName = 'references.log';
const fileMode = 0o600;

export class FileReferenceLog implements ReferenceLog {
  readonly #path: string;
  readonly #bootId: string;
  readonly #logger: Logger;
  readonly #compactAtLines: number;
  #changes: ReferenceChange[];
  #descriptor: number | undefined;
  #sizeBytes = 0;
  #compactAt = 0;

  private constructor(
    path: string,
    bootId: string,
    changes: readonly ReferenceChange[],
    options: FileReferenceLogOptions,
  ) {
    this.#path = path;
    this.#bootId = bootId;
    this.#logger = options.logger;
    this.#compactAtLines = options.compactAtLines ?? 1_000;
    this.#changes = [...changes];
    this.#rewrite();
  }

  /** @throws Fault NoSpace on a full disk, NotSupported for a newer file, InvalidRequest when the folder cannot be used */
  static async open(options: FileReferenceLogOptions): Promise<FileReferenceLog> {
    const path = join(options.folder, fileName);
    const bootId = options.bootId ?? (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    try {
      await mkdir(options.folder, { recursive: true, mode: 0o700 });
      return new FileReferenceLog(path, bootId, await readChanges(path, bootId, options.logger), options);
    } catch (error) {
      throw stateFolderFault(error, options.folder);
    }
  }

  read(): readonly ReferenceChange[] {
    return compacted(this.#changes);
  }

  /** @throws Fault NoSpace, or Internal with the system's words */
  append(change: ReferenceChange): void {
    const descriptor = this.#descriptor;
    if (descriptor === undefined) throw new Fault('Internal', `the reference log ${this.#path} is closed`);
    const line = Buffer.from(changeLine(change));
    try {
      writeWhole(descriptor, line, this.#sizeBytes);
    } catch (error) {
      // Whatever part of the line was written lacks its end, so it is no line, and the next one overwrites it.
      throw new Fault(
        errnoOf(error) === 'ENOSPC' ? 'NoSpace' : 'Internal',
        `cannot record the mounts of ${change.volume} in ${this.#path}: ${messageOf(error)}`,
        { cause: error },
      );
    }
    this.#sizeBytes += line.length;
    this.#changes.push(change);
    if (this.#changes.length >= this.#compactAt) this.#compact();
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }

  /** The change that led here is recorded already, so a failure harms nobody and is tried again later. */
  #compact(): void {
    try {
      this.#rewrite();
    } catch (error) {
      this.#compactAt = 2 * this.#changes.length;
      this.#logger.warn('reference log could not be compacted', { path: this.#path, ...failureFields(error) });
    }
  }

  /** Puts a new file in the place of the old one, whole. */
  #rewrite(): void {
    const changes = compacted(this.#changes);
    const content = Buffer.from(headerLine(this.#bootId) + changes.map(changeLine).join(''));
    const aside = `${this.#path}.new`;
    const descriptor = openSync(aside, 'w', fileMode);
    try {
      writeWhole(descriptor, content, 0);
      renameSync(aside, this.#path);
    } catch (error) {
      closeSync(descriptor);
      throw error;
    }
    this.close();
    this.#descriptor = descriptor;
    this.#sizeBytes = content.length;
    this.#changes = [...changes];
    this.#compactAt = Math.max(this.#compactAtLines, 4 * changes.length);
  }
}

async function readChanges(path: string, bootId: string, logger: Logger): Promise<readonly ReferenceChange[]> {
  const content = readJournal(await textOf(path), bootId);
  switch (content.kind) {
    case 'outdated':
      return [];
    case 'newer':
      throw newerFault(path, content.version);
    case 'unreadable':
      await keepAside(path, content.why, logger);
      return [];
    case 'changes':
      if (content.damagedLines > 0) await keepAside(path, `${content.damagedLines} of its lines are damaged`, logger);
      return content.changes;
  }
}

/** To go on without it, beside a file that tells of living mounts, is for the user to decide. */
function newerFault(path: string, found: number): Fault {
  const what = `${path} has format version ${found}, written by a newer vmdk-plugin; this one (${version}) reads ${journalVersion}`;
  const advice = 'install that release again, or restart this machine, after which the file stands for nothing';
  return new Fault('NotSupported', `${what}: ${advice}; it was left as it is`);
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return '';
    throw error;
  }
}

async function keepAside(path: string, why: string, logger: Logger): Promise<void> {
  const when = new Date().toISOString().replaceAll(/[:.]/g, '-');
  const kept = `${path}.damaged-${when}-${randomBytes(4).toString('hex')}`;
  await rename(path, kept);
  logger.error('the record of mounts cannot be read in full; what is mounted is told by the kernel instead', {
    path,
    kept,
    why,
  });
}

function writeWhole(descriptor: number, bytes: Buffer, position: number): void {
  for (let written = 0; written < bytes.length;) {
    written += writeSync(descriptor, bytes, written, bytes.length - written, position + written);
  }
}
