/** Which commands change something. Total: a new command does not compile before it is decided. */
import type { CommandName } from './contract.ts';

const table = {
  hello: false,
  create: true,
  remove: true,
  attach: true,
  detach: true,
  get: false,
  list: false,
  watch: false,
  ping: false,
} as const satisfies Record<CommandName, boolean>;

/**
 * Whether it may have changed something once it was sent: then its outcome is remembered by its key, and a lost answer
 * is *unsure*. All others may be repeated at will.
 */
export function changes(command: CommandName): boolean {
  return table[command];
}
