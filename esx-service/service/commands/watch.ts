/** From the reply on, the guest is told every change, until its connection ends. */
import type { ChannelEvent, Reply } from '../../../native/channel/contract.ts';
import type { Service } from '../service.ts';

export interface Audience {
  readonly send: (event: ChannelEvent) => void;
  readonly closed: AbortSignal;
}

/** Repeating it changes nothing. */
export function watch(service: Service, audience: Audience): Reply<'watch'> {
  const { catalog } = service;
  if (!audience.closed.aborted) {
    audience.closed.addEventListener('abort', catalog.watch(audience.send), { once: true });
  }
  return { sequence: catalog.view.sequence };
}
