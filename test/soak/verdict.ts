/**
 * What an answer means. A refusal must be one that the model allows; *unsure* is one after which nobody knows, and is
 * allowed only because the way to the service is hostile; *down* is an answer that a killed plugin cannot give. Sentences are all that Docker's protocol carries.
 */
import type { Answer } from './plugin-door.ts';

export type Meaning = 'ok' | 'not there' | 'in use' | 'differs' | 'unsure' | 'dropped' | 'down' | 'other';

/** After such a sentence nobody knows whether it was done. */
export const unsure = /may have been done|took longer than|cannot be reached|hung up|\bbusy\b/i;

const meanings: readonly (readonly [RegExp, Meaning])[] = [
  [unsure, 'unsure'],
  [/^volume .+ does not exist/, 'not there'],
  [/^volume .+ exists with .+, not /, 'differs'],
  [/is mounted here by|is attached to VM|still (in use|mounted)/, 'in use'],
];

export function meaningOf(answer: Answer): Meaning {
  if (answer.kind !== 'refused') return answer.kind;
  return meanings.find(([pattern]) => pattern.test(answer.sentence))?.[1] ?? 'other';
}

export function textOf(answer: Answer): string {
  switch (answer.kind) {
    case 'ok':
      return 'ok';
    case 'refused':
      return `refused (${answer.status}): ${answer.sentence}`;
    case 'dropped':
      return 'dropped without an answer';
    case 'down':
      return 'not answered, since the plugin was killed';
  }
}
