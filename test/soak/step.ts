/** What a client is told to do. What must come of it is the model's to say, not the plan's. */
import type { VolumeId } from './roster.ts';

export type Options = Readonly<Record<string, string>>;

export const badRequests = [
  'mount without ID',
  'mount of an unknown volume',
  'get of an unknown volume',
  'create with a bad name',
  'create with an unknown option',
  'create with a bad size',
  'create on an unknown datastore',
  'clone of an unknown volume',
  'body that is not JSON',
  'body that is a list',
  'empty body',
  'name that is a number',
  'unknown verb',
  'verb by GET',
] as const;
export type BadRequest = (typeof badRequests)[number];

interface OnVolume {
  readonly volume: VolumeId;
  /** As Docker's user typed it: short, or with its datastore. */
  readonly asked: string;
}

/** A member for each kind, so that a switch can tell them apart. */
type Each<K extends string, Details> = K extends string ? OnVolume & { readonly kind: K } & Details : never;

export type Step =
  | Each<'create', { readonly options: Options }>
  | Each<'mount' | 'unmount', { readonly id: string }>
  /** A Mount whose client hangs up after so long. */
  | Each<'hang up', { readonly id: string; readonly afterMs: number }>
  | Each<'write', { readonly bytes: number }>
  | Each<'verify' | 'get' | 'path' | 'remove', unknown>
  | { readonly kind: 'list' }
  | { readonly kind: 'bad'; readonly which: BadRequest };

export function describeStep(step: Step): string {
  if (!('volume' in step)) return step.kind === 'bad' ? `bad: ${step.which}` : step.kind;
  const { kind, volume, asked, ...details } = step;
  const more = Object.keys(details).length === 0 ? '' : ` ${JSON.stringify(details)}`;
  return `${kind} ${asked}${volume.full === asked ? '' : ` (${volume.full})`}${more}`;
}
