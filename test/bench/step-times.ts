/** Milliseconds by step of a volume's life; the floor's and the product's steps have the same names. */
export const steps = ['create', 'first-mount', 'first-unmount', 'mount', 'unmount', 'remove'] as const;
export type Step = (typeof steps)[number];
export type Steps = Readonly<Record<Step, readonly number[]>>;

export class StepTimes {
  readonly #times: Record<Step, number[]> = {
    create: [],
    'first-mount': [],
    'first-unmount': [],
    mount: [],
    unmount: [],
    remove: [],
  };

  get all(): Steps {
    return this.#times;
  }

  add(step: Step, ms: number): void {
    this.#times[step].push(ms);
  }
}
