/** What each command is like, for whoever sends or repeats it. Total: a new command does not compile before it is decided. */
import type { CommandName } from './contract.ts';

interface Traits {
  readonly changes: boolean;
  readonly isLong: boolean;
}

const table: Record<CommandName, Traits> = {
  hello: { changes: false, isLong: false },
  create: { changes: true, isLong: true },
  remove: { changes: true, isLong: false },
  attach: { changes: true, isLong: false },
  detach: { changes: true, isLong: false },
  get: { changes: false, isLong: false },
  list: { changes: false, isLong: false },
  watch: { changes: false, isLong: false },
  ping: { changes: false, isLong: false },
};

/**
 * Whether it may have changed something once it was sent: then its outcome is remembered by its key, and a lost answer
 * is *unsure*. All others may be repeated at will.
 */
export function changes(command: CommandName): boolean {
  return table[command].changes;
}

/** Whether the host may be at work for minutes without any trouble: it copies or zeroes whole disks. */
export function isLong(command: CommandName): boolean {
  return table[command].isLong;
}
