/**
 * The plugin in a guest, asked as Docker asks it, from outside: so no program has to be started for that in the guest.
 * Invariant: nothing of a question is left when it is answered.
 */
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { json } from 'node:stream/consumers';
import type { ExecutionContext } from 'ava';
import { deadline } from '../../common/deadline.ts';
import { Guest, type GuestOptions } from './guest.ts';
import { GuestProgram } from './guest-program.ts';

/** Of the service, as the guest sees it. */
export const servicePort = 1019;

const bridgePort = 7000;
const pluginSocket = '/run/docker/plugins/vmdk.sock';
const answerMs = 60_000;

export interface Answer {
  readonly Err: string;
  readonly Mountpoint?: string;
  readonly Volume?: { readonly Status: Readonly<Record<string, unknown>> };
}

export type Question = readonly [verb: string, body: unknown];

/** Boots a guest whose plugin, once it runs, can be asked. */
export async function bootPluginGuest(options?: GuestOptions): Promise<Guest> {
  const guest = await Guest.boot(options);
  try {
    await startBridge(guest);
    return guest;
  } catch (error) {
    await guest[Symbol.asyncDispose]();
    throw error;
  }
}

/** Again after each start of the guest. */
export async function startBridge(guest: Guest): Promise<void> {
  await GuestProgram.startOurs(guest, 'bridge', 'listening', String(bridgePort), pluginSocket);
}

/** The plugin with its own defaults, which name `vsock://2:1019`. */
export async function runPlugin(guest: Guest): Promise<GuestProgram> {
  return await GuestProgram.start(guest, `/vmdk/bin/vmdk-plugin --docker-socket ''`, 'plugin ready');
}

/** As `runPlugin`; it ends with the test. */
export async function startPlugin(t: ExecutionContext, guest: Guest): Promise<GuestProgram> {
  const plugin = await runPlugin(guest);
  t.teardown(async () => {
    await plugin[Symbol.asyncDispose]();
    if (!t.passed) t.log(plugin.output);
  });
  return plugin;
}

export async function askPlugin(guest: Guest, verb: string, body: unknown): Promise<Answer> {
  return (await ask(guest, 'POST', `/VolumeDriver.${verb}`, JSON.stringify(body))) as Answer;
}

/** What the plugin says of itself. */
export async function healthOf(
  guest: Guest,
): Promise<{ readonly status: string; readonly problems: readonly string[] }> {
  return (await ask(guest, 'GET', '/health')) as Awaited<ReturnType<typeof healthOf>>;
}

async function ask(guest: Guest, method: string, path: string, body = ''): Promise<unknown> {
  const socket = await guest.vsock.dial(bridgePort);
  using limit = deadline(answerMs, path);
  const { signal } = limit;
  const asked = request({ path, method, createConnection: () => socket, signal });
  asked.end(body);
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  try {
    return await json(answer);
  } finally {
    socket.destroy();
  }
}

/** One after another. */
export async function askInTurn(guest: Guest, ...questions: readonly Question[]): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const [verb, body] of questions) answers.push(await askPlugin(guest, verb, body));
  return answers;
}
