/** What a storm is asked to be. */
import { parseArgs } from 'node:util';

export interface Settings {
  readonly minutes: number;
  readonly clients: number;
  /** Private ones in total; a tenth as many more are shared. */
  readonly volumes: number;
  readonly isDocker: boolean;
  /** Whether the programs are killed meanwhile. */
  readonly isChaos: boolean;
  readonly seed: string;
  readonly link: 'direct' | 'hostile';
}

const defaults = { minutes: 10, clients: 100, volumes: 200 } as const;

/** @throws Error in a sentence that says what is allowed */
export function readSettings(args: readonly string[], freshSeed: string): Settings {
  const { values } = parseArgs({
    args: [...args],
    options: {
      minutes: { type: 'string', default: String(defaults.minutes) },
      clients: { type: 'string', default: '' },
      volumes: { type: 'string', default: '' },
      docker: { type: 'boolean', default: false },
      chaos: { type: 'boolean', default: false },
      seed: { type: 'string', default: freshSeed },
      link: { type: 'string', default: 'hostile' },
    },
  });
  const { link } = values;
  if (link !== 'direct' && link !== 'hostile') throw new Error(`--link is "${link}"; it can be direct or hostile`);
  // Containers cost more than requests.
  const clients = wholeOf('clients', values.clients, values.docker ? 8 : defaults.clients);
  return {
    minutes: positiveOf('minutes', values.minutes),
    clients,
    volumes: wholeOf('volumes', values.volumes, values.docker ? clients * 2 : defaults.volumes),
    isDocker: values.docker,
    isChaos: values.chaos,
    seed: values.seed,
    link,
  };
}

function positiveOf(name: string, text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new Error(`--${name} is "${text}"; give a number above 0`);
}

function wholeOf(name: string, text: string, otherwise: number): number {
  if (text === '') return otherwise;
  const value = positiveOf(name, text);
  if (Number.isInteger(value)) return value;
  throw new Error(`--${name} is "${text}"; give a whole number`);
}
