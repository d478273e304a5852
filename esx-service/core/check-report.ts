/** What a check found, one sentence for each volume that was not as it was remembered. Pure: no I/O. */
import { formatSize } from '../../common/sizes.ts';
import { fullNameOf, type VolumeRecord } from './volume-record.ts';

export interface CheckReport {
  /** When it began: RFC 3339. */
  readonly at: string;
  readonly tookMs: number;
  /** How many volumes there were at its end. */
  readonly volumes: number;
  /** One sentence for each thing that was found, mended or not. */
  readonly findings: readonly string[];
}

/** @param before undefined: it was not known */
export function findingsOf(before: VolumeRecord | undefined, after: VolumeRecord): readonly string[] {
  const name = `volume ${fullNameOf(after)}`;
  const { problem } = after.volume;
  if (!before) {
    const state = problem === undefined ? 'can be used from now on' : `cannot be used: ${problem}`;
    return [`${name} appeared in its datastore and ${state}`];
  }
  return [
    holderFinding(name, before.volume.attached, after.volume.attached),
    problemFinding(name, before.volume.problem, problem),
    before.volume.sizeBytes === after.volume.sizeBytes
      ? undefined
      : `${name} has ${formatSize(after.volume.sizeBytes)} now, not ${formatSize(before.volume.sizeBytes)}`,
  ].filter((finding) => finding !== undefined);
}

type Holder = VolumeRecord['volume']['attached'];

function holderFinding(name: string, before: Holder, after: Holder): string | undefined {
  if (before && !after) return `${name} was remembered as attached to VM ${before.vm.name}, and is free now`;
  if (!after) return undefined;
  if (!before) return `${name} is attached to VM ${after.vm.name}, which was not known and is recorded now`;
  if (before.vm.id !== after.vm.id) return `${name} is attached to VM ${after.vm.name}, not to VM ${before.vm.name}`;
  const isSame = JSON.stringify(before.device) === JSON.stringify(after.device);
  return isSame ? undefined : `${name} is attached to VM ${after.vm.name} as another device than was remembered`;
}

function problemFinding(name: string, before: string | undefined, after: string | undefined): string | undefined {
  if (before === after) return undefined;
  if (after === undefined) return `${name} can be used again`;
  return before === undefined ? `${name} cannot be used: ${after}` : `${name} still cannot be used: ${after}`;
}
