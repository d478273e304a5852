/** See own-mounts.sh. */
import { join } from 'node:path';
import type { Command } from './command.ts';

/** @param kept the folder below which disks stay; none when left out */
export function withOwnMounts(command: Command, kept = ''): Command {
  return ['sh', join(import.meta.dirname, 'own-mounts.sh'), kept, ...command];
}
