/**
 * Which version of the protocol two sides speak. Invariant: where they have none in common, the sentence says which side
 * is the older one and what to install there, whatever else the newer one's hello has become.
 */
import * as z from 'zod';
import { Fault } from '../../common/fault.ts';
import { version as release } from '../../common/version.ts';
import { protocolVersion, requestSchema } from './contract.ts';

/** Only as much of a hello as every version of it has. */
const offerSchema = z.object({
  args: z.object({ versions: z.array(z.number()).min(1), clientVersion: z.string().optional() }),
});

/** As other requests, but that fields which we do not know are passed over. */
export const helloSchema = z.object(requestSchema.options[0].shape);

/** @returns why these two cannot talk; undefined when they can, or when it is no hello */
export function mismatchOf(message: { readonly v: unknown }, vmName: string): Fault | undefined {
  const { data: offer } = offerSchema.safeParse(message);
  const spoken = offer?.args.versions ?? [message.v];
  if (message.v === protocolVersion && (!offer || spoken.includes(protocolVersion))) return undefined;
  const ours = `the service (release ${release}) speaks versions 2 and ${protocolVersion} of the protocol`;
  const plugin = `the plugin in VM ${vmName} (release ${offer?.args.clientVersion ?? 'unknown'})`;
  const isPluginOlder = spoken.every((one) => typeof one === 'number' && one < protocolVersion);
  const remedy = isPluginOlder
    ? `upgrade the plugin to ${release}`
    : `upgrade vmdkopsd on the host to ${offer?.args.clientVersion ?? 'the release of the plugin'}`;
  return new Fault('ProtocolMismatch', `${ours}, ${plugin} ${spoken.map(String).join(' and ')}; ${remedy}`);
}
