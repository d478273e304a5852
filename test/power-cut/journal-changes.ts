/** What is recorded in the reference log: enough to be compacted, before and after a restart of the plugin. */
import { type FullName, fullName, parseDatastoreName, parseVolumeName } from '../../common/names.ts';
import type { ReferenceChange } from '../../plugin/ports/reference-log.ts';

const named = (name: string): FullName => fullName(parseVolumeName(name), parseDatastoreName('local'));
const add = (name: string, id: string): ReferenceChange => ({ do: 'add', volume: named(name), id });
const remove = (name: string, id: string): ReferenceChange => ({ do: 'remove', volume: named(name), id });

const longId = 'c'.repeat(64);

/** Lines are counted without the header. */
export const compactAtLines = 5;
/** How many changes were recorded when the plugin is started anew, which carries them over. */
export const restartAfter = 6;

export const journalChanges: readonly ReferenceChange[] = [
  add('db', longId),
  add('ü b', 'once'),
  remove('ü b', 'once'),
  add('db', 'second'.repeat(40)),
  add('web', longId),
  remove('db', longId),
  { do: 'clear', volume: named('web') },
  add('db', longId),
  add('web', 'again'),
];
