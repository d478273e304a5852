/** Sizes as users write them (`10gb`) and as people read them (`100MB`); inside, a size is a whole number of bytes. */
import { Fault } from './fault.ts';

const kib = 1024;
const units = { k: kib, m: kib ** 2, g: kib ** 3, t: kib ** 4 } as const;

/** Disks are addressed in sectors of 512 bytes in VMDK descriptors and by the kernel. */
export const sectorBytes = 512;
/** The largest VMDK that vSphere supports (Configuration Maximums): 62 TB. */
export const maxSizeBytes = 62 * units.t;
/** The smallest disk we make: below it no file system fits. */
export const minSizeBytes = units.m;

/** `10gb`, `512 kb`, `1T`: powers of 1024, any case. Throws InvalidOption naming the value and what is allowed. */
export function parseSize(text: string): number {
  const match = /^\s*(\d+)\s*([kmgt])b?\s*$/i.exec(text);
  const unit = match?.[2]?.toLowerCase() as keyof typeof units | undefined;
  if (!match || unit === undefined) {
    throw new Fault(
      'InvalidOption',
      `size ${JSON.stringify(text)} is not a size; give a whole number and kb, mb, gb or tb, such as 10gb`,
    );
  }
  const bytes = Number(match[1]) * units[unit];
  if (bytes < minSizeBytes || bytes > maxSizeBytes) {
    throw new Fault('InvalidOption', `size ${JSON.stringify(text)} is out of range; give 1mb to 62tb`);
  }
  return bytes;
}

/** Short and whole, in the largest unit that loses less than a tenth: `100MB`, `1536MB`, `62TB`. */
export function formatSize(bytes: number): string {
  const steps = [
    ['TB', units.t],
    ['GB', units.g],
    ['MB', units.m],
    ['KB', units.k],
  ] as const;
  for (const [name, size] of steps) {
    if (bytes >= size && (bytes % size) / bytes < 0.1) return `${String(Math.floor(bytes / size))}${name}`;
  }
  return bytes < kib ? `${String(bytes)}B` : `${String(Math.floor(bytes / kib))}KB`;
}
