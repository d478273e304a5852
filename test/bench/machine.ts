/** Where the figures come from: without it they say little. */
import { cpus, freemem, loadavg, release, totalmem } from 'node:os';
import { mustRun } from '../../scripts/command.ts';

export interface Machine {
  readonly processors: string;
  readonly kernel: string;
  readonly node: string;
  readonly memoryGib: number;
  readonly freeGib: number;
  /** Of the disks of product and floor: type, source and options. */
  readonly fileSystem: string;
  readonly dockerd: string;
}

export async function describeMachine(folder: string): Promise<Machine> {
  const [processor] = cpus();
  const gib = (bytes: number): number => Math.round(bytes / 1024 ** 3);
  return {
    processors: `${String(cpus().length)} x ${processor?.model ?? 'unknown'}`,
    kernel: release(),
    node: process.version,
    memoryGib: gib(totalmem()),
    freeGib: gib(freemem()),
    fileSystem: await fileSystemOf(folder),
    dockerd: (await mustRun(['dockerd', '--version'])).trim(),
  };
}

/** Of the last minute; other work on the machine shows here. */
export function load(): number {
  return loadavg()[0] ?? 0;
}

/** A memory file system flushes nothing: figures taken there would flatter whoever flushes most. */
async function fileSystemOf(folder: string): Promise<string> {
  const columns = ['findmnt', '--noheadings', '--output', 'FSTYPE,SOURCE,OPTIONS', '--target', folder] as const;
  const found = (await mustRun(columns)).trim().replaceAll(/\s+/g, ' ');
  if (/^(tmpfs|ramfs|overlay) /.test(found)) {
    throw new Error(`${folder} is on ${found.split(' ')[0] ?? ''}; choose a folder on a disk's file system with --dir`);
  }
  return found;
}
