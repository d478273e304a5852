/** Who has a disk mounted, in whichever mount namespace: for people who look into a failure. */
import { readdir, readFile, readlink } from 'node:fs/promises';

/** As `mountersOf`, of the loop devices of a file. */
export async function holdersOf(extent: string): Promise<readonly string[]> {
  return mountersOf(await devicesOf(extent));
}

/** A line for each mount namespace: one of its processes, its control group, and where a device is mounted in it. */
export async function mountersOf(devices: readonly string[]): Promise<readonly string[]> {
  const seen = new Set<string>();
  const lines: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const namespace = await readlink(`/proc/${pid}/ns/mnt`).catch(() => '');
    if (namespace === '' || seen.has(namespace)) continue;
    const mounts = (await textOf(`/proc/${pid}/mountinfo`)).split('\n');
    if (mounts.length > 1) seen.add(namespace);
    const places = mounts.filter((line) => devices.some((device) => line.includes(` ${device} `)));
    if (places.length === 0) continue;
    const program = (await textOf(`/proc/${pid}/cmdline`)).replaceAll('\0', ' ').slice(0, 120);
    const group = (await textOf(`/proc/${pid}/cgroup`)).split('\n')[0] ?? '';
    lines.push(`  ${namespace} process ${pid} (${program}) in ${group}: ${places.join(' | ')}`);
  }
  return lines;
}

async function devicesOf(extent: string): Promise<readonly string[]> {
  const names = (await readdir('/sys/block')).filter((name) => name.startsWith('loop'));
  const files = await Promise.all(names.map((name) => textOf(`/sys/block/${name}/loop/backing_file`)));
  return names.filter((_, index) => files[index]?.trimEnd() === extent).map((name) => `/dev/${name}`);
}

function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
