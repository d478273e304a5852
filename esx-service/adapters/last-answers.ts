/**
 * What each VM holds by its last answer. Invariant: an answer is kept only if nothing was changed since it was asked for,
 * so it is true for as long as it is kept and nobody else changes that VM.
 */
import type { Attachment } from '../core/holders.ts';

interface Entry {
  answer?: readonly Attachment[];
}

export class LastAnswers {
  /** Replaced by each change: what was asked for before it is kept where nobody looks. */
  readonly #entries = new Map<string, Entry>();

  of(vmId: string): readonly Attachment[] | undefined {
    return this.#entries.get(vmId)?.answer;
  }

  /** To be called before asking; what it returns takes the answer. */
  ask(vmId: string): (answer: readonly Attachment[]) => void {
    const entry = this.#entries.get(vmId) ?? {};
    this.#entries.set(vmId, entry);
    return (answer) => (entry.answer = answer);
  }

  /** To be called before a change and after it. */
  forget(vmId: string): void {
    this.#entries.set(vmId, {});
  }
}
