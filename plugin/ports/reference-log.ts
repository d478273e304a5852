/**
 * The durable record of references: survives the plugin's death, not the guest's, whose mounts die with it. A change is
 * recorded when the call returns.
 */
import type { FullName } from '../../common/names.ts';

export type ReferenceChange =
  | { readonly do: 'add'; readonly volume: FullName; readonly id: string }
  | { readonly do: 'remove'; readonly volume: FullName; readonly id: string }
  | { readonly do: 'clear'; readonly volume: FullName };

export interface ReferenceLog {
  /** All changes of this boot that are still of use, oldest first. */
  read(): readonly ReferenceChange[];
  /** Throws when it cannot be recorded. */
  append(change: ReferenceChange): void;
  close(): void;
}
