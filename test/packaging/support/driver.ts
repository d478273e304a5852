/** The installed plugin, asked as dockerd asks it; only a dockerd would be too much for so small a machine. */
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Machine } from './machine.ts';

export const driverSocket = '/run/docker/plugins/vmdk.sock';
const timeoutMs = 60_000;

type Call = 'Create' | 'Mount' | 'Unmount' | 'Remove' | 'Get' | 'List';

/** @returns the answer, which has no error */
export async function askDriver(
  machine: Machine,
  call: Call,
  body: object,
): Promise<Readonly<Record<string, unknown>>> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const options = { socketPath: machine.path(driverSocket), path: `/VolumeDriver.${call}`, method: 'POST' };
  const asked = request({ ...options, timeout: timeoutMs, agent: false }, (response) => {
    text(response).then(resolve, reject);
  });
  asked.once('timeout', () => asked.destroy(new Error(`${call} was not answered within ${timeoutMs} ms`)));
  asked.once('error', reject);
  asked.end(JSON.stringify(body));
  const answer = JSON.parse(await promise) as Record<string, unknown>;
  if (typeof answer['Err'] === 'string' && answer['Err'] !== '') throw new Error(`${call}: ${answer['Err']}`);
  return answer;
}

/** @returns where it is mounted */
export async function mountedVolume(machine: Machine, name: string): Promise<string> {
  await askDriver(machine, 'Create', { Name: name, Opts: { size: '20mb' } });
  const { Mountpoint } = await askDriver(machine, 'Mount', { Name: name, ID: name });
  return String(Mountpoint);
}
