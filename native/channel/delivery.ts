/**
 * Hands over what came in, in order. Invariant: when an event is handed over, whoever awaited an earlier reply has gone
 * on already, through however many promises: so a page that was read is in its reader's hands before the first event
 * that is newer than it.
 */
interface Held {
  readonly isEvent: boolean;
  readonly deliver: () => void;
}

export class Delivery {
  readonly #held: Held[] = [];
  /** Stands while readers of a delivered reply may not have gone on: they do before the next turn of the loop. */
  #turn: NodeJS.Immediate | undefined;

  reply(deliver: () => void): void {
    this.#add({ isEvent: false, deliver });
  }

  event(deliver: () => void): void {
    this.#add({ isEvent: true, deliver });
  }

  /** Ends the waiting: all that is held is handed over now, so that no reply is known without the events before it. */
  stop(): void {
    clearImmediate(this.#turn);
    this.#turn = undefined;
    for (const { deliver } of this.#held.splice(0)) deliver();
  }

  #add(message: Held): void {
    this.#held.push(message);
    if (this.#held.length === 1) this.#drain();
  }

  #drain(): void {
    for (let next = this.#held[0]; next; next = this.#held[0]) {
      if (next.isEvent && this.#turn) return;
      this.#held.shift();
      next.deliver();
      if (!next.isEvent) {
        this.#turn ??= setImmediate(() => {
          this.#turn = undefined;
          this.#drain();
        });
      }
    }
  }
}
