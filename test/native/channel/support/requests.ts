/** Version 3 by hand: requests, their answers, and a command that runs until it is told to end. */
import { randomUUID } from 'node:crypto';
import type { Fault } from '../../../../common/fault.ts';
import type { Handlers } from '../../../../native/channel/session.ts';
import { dialRaw, type RawPeer } from './raw-peer.ts';
import { hello, type TestService, volume } from './service.ts';

export interface Answer {
  readonly id: number;
  readonly ok?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
}

export function request(id: number, cmd: string, args: unknown = {}, key: string = randomUUID()): object {
  return { v: 3, id, cmd, key, args };
}

/** A connection whose hello was answered. */
export async function greeted(service: TestService): Promise<RawPeer> {
  const peer = await dialRaw(service.path);
  peer.send(request(0, 'hello', hello));
  await peer.next();
  return peer;
}

export async function ask(peer: RawPeer, message: unknown): Promise<Answer> {
  peer.send(message);
  return (await peer.next()) as Answer;
}

export interface GatedCreate {
  readonly handlers: Partial<Handlers>;
  /** The signal of the first run. */
  readonly started: Promise<AbortSignal>;
  readonly finish: (fault?: Fault) => void;
  readonly runs: () => number;
}

/** A create that runs until it is told to finish, or is cancelled. */
export function gatedCreate(): GatedCreate {
  const started = Promise.withResolvers<AbortSignal>();
  const gate = Promise.withResolvers<undefined>();
  gate.promise.catch(() => undefined);
  let runs = 0;
  return {
    started: started.promise,
    finish: (fault) => (fault ? gate.reject(fault) : gate.resolve(undefined)),
    runs: () => runs,
    handlers: {
      create: async (_session, { name }, { signal }) => {
        runs += 1;
        started.resolve(signal);
        signal.addEventListener('abort', () => gate.reject(signal.reason as Error));
        await gate.promise;
        return { volume: volume(name) };
      },
    },
  };
}
