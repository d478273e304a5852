/**
 * Where a service is reached, and where it listens, as text and as types. A parsed address can be used without further
 * checks; printed and parsed again it is the same.
 */
import { Fault } from '../../common/fault.ts';
import { maxSocketPathBytes } from '../../common/unix-socket.ts';
import { defaultPort } from './contract.ts';

export interface UnixAddress {
  readonly kind: 'unix';
  readonly path: string;
}

export interface VsockAddress {
  readonly kind: 'vsock';
  readonly cid: number;
  readonly port: number;
}

/** All CIDs of this machine. */
export interface VsockListenAddress {
  readonly kind: 'vsock';
  readonly port: number;
}

export type DialAddress = UnixAddress | VsockAddress;
export type ListenAddress = UnixAddress | VsockListenAddress;

const dialForms = `"unix:///path", "vsock://CID" or "vsock://CID:PORT" (port ${defaultPort} when left out)`;
const listenForms = `"unix:///path", "vsock://any" or "vsock://any:PORT" (port ${defaultPort} when left out)`;
/** The largest of 32 bits means "any" in the kernel's interface. */
const largest = 0xffff_fffe;

/** @throws Fault InvalidRequest that says what is allowed; NotSupported for a transport that this version lacks */
export function parseDialAddress(text: string): DialAddress {
  const unix = parseUnix(text, dialForms);
  if (unix) return unix;
  const [, cid, port] = /^vsock:\/\/(\d{1,10})(?::(\d{1,10}))?$/.exec(text) ?? [];
  if (cid === undefined || Number(cid) > largest) refuse(text, dialForms);
  return { kind: 'vsock', cid: Number(cid), port: parsePort(text, port, dialForms) };
}

/** @throws Fault InvalidRequest that says what is allowed; NotSupported for a transport that this version lacks */
export function parseListenAddress(text: string): ListenAddress {
  const unix = parseUnix(text, listenForms);
  if (unix) return unix;
  const match = /^vsock:\/\/(?:any)?(?::(\d{1,10}))?$/.exec(text);
  if (!match || text === 'vsock://') refuse(text, listenForms);
  return { kind: 'vsock', port: parsePort(text, match[1], listenForms) };
}

/** As the user would type it. */
export function printAddress(address: DialAddress | ListenAddress): string {
  if (address.kind === 'unix') return `unix://${address.path}`;
  return `vsock://${'cid' in address ? address.cid : 'any'}:${address.port}`;
}

function parseUnix(text: string, forms: string): UnixAddress | undefined {
  if (text.startsWith('tls://')) {
    throw new Fault(
      'NotSupported',
      `address ${JSON.stringify(text)}: tls is not available in this version; use ${forms}`,
    );
  }
  if (!text.startsWith('unix://')) return undefined;
  const path = text.slice('unix://'.length);
  if (!path.startsWith('/') || path.endsWith('/') || path.includes('\0')) refuse(text, forms);
  if (Buffer.byteLength(path) > maxSocketPathBytes) {
    refuse(text, `${forms}, with a path of at most ${maxSocketPathBytes} bytes`);
  }
  return { kind: 'unix', path };
}

function parsePort(text: string, port: string | undefined, forms: string): number {
  const number = port === undefined ? defaultPort : Number(port);
  if (number < 1 || number > largest) refuse(text, forms);
  return number;
}

function refuse(text: string, allowed: string): never {
  throw new Fault('InvalidRequest', `address ${JSON.stringify(text)} is not understood; use ${allowed}`);
}
