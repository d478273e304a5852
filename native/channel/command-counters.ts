/** How often each command was sent, answered, failed and repeated; for metrics, and for tests that count round trips. */
import { type CommandName, commandNames } from './contract.ts';

export interface CommandCount {
  /** Sent for the first time. */
  readonly sent: number;
  /** Sent again, after a lost connection or because the service was busy. */
  readonly repeated: number;
  /** Replies, to whoever still waited. */
  readonly answered: number;
  /** Calls that were rejected, for whatever reason. */
  readonly failed: number;
}

export class CommandCounters {
  readonly #counts = new Map<CommandName, CommandCount>();

  add(command: CommandName, what: keyof CommandCount): void {
    const count = this.#of(command);
    this.#counts.set(command, { ...count, [what]: count[what] + 1 });
  }

  /** As of now; does not change afterwards. */
  snapshot(): Readonly<Record<CommandName, CommandCount>> {
    const entries = commandNames.map((command) => [command, this.#of(command)] as const);
    return Object.fromEntries(entries) as Record<CommandName, CommandCount>;
  }

  #of(command: CommandName): CommandCount {
    return this.#counts.get(command) ?? { sent: 0, repeated: 0, answered: 0, failed: 0 };
  }
}
