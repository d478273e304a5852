/**
 * Names of volumes and datastores. A parsed name can be used as a file name, in a mount path and on the wire without
 * further checks. The rules are the archived product's (last `@` splits, 100 characters, no `-NNNNNN` ending), plus
 * what its files would otherwise mix up.
 */
import { Fault } from './fault.ts';

declare const brand: unique symbol;
/** A volume's name without its datastore. */
export type VolumeName = string & { readonly [brand]: 'VolumeName' };
/** A datastore's name, spelled as the service spells it. */
export type DatastoreName = string & { readonly [brand]: 'DatastoreName' };
/** `name@datastore`: what a volume is called everywhere inside. */
export type FullName = string & { readonly [brand]: 'FullName' };

/** What a user typed: a name, and the datastore only when there was an `@`. */
export interface AskedName {
  readonly name: VolumeName;
  readonly datastore: DatastoreName | undefined;
}

const maxCharacters = 100;
/** With the longest ending that we add (`-flat.vmdk`) a file name stays below the 255 bytes that Linux allows. */
const maxBytes = 200;

/** Splits at the last `@`, as the archived product did: earlier ones belong to the name. */
export function parseAskedName(text: string): AskedName {
  const at = text.lastIndexOf('@');
  if (at === -1) return { name: parseVolumeName(text), datastore: undefined };
  return { name: parseVolumeName(text.slice(0, at)), datastore: parseDatastoreName(text.slice(at + 1)) };
}

export function parseVolumeName(text: string): VolumeName {
  check('volume', text);
  const clash = /-(?:\d{6}|flat|delta|ctk|sesparse|rdmp?)$/.exec(text);
  if (clash) {
    refuse('volume', text, `ends in "${clash[0]}", which names a part of another disk; choose another ending`);
  }
  return text as VolumeName;
}

export function parseDatastoreName(text: string): DatastoreName {
  check('datastore', text);
  if (text.includes('@')) refuse('datastore', text, 'contains "@", which separates it from the volume name');
  return text as DatastoreName;
}

export function fullName(name: VolumeName, datastore: DatastoreName): FullName {
  return `${name}@${datastore}` as FullName;
}

/** Takes a full name apart; throws InvalidName when there is no datastore in it. */
export function parseFullName(text: string): { readonly name: VolumeName; readonly datastore: DatastoreName } {
  const { name, datastore } = parseAskedName(text);
  if (datastore === undefined) refuse('volume', text, 'has no "@datastore", which is needed here');
  return { name, datastore };
}

function check(what: string, text: string): void {
  if (text === '') refuse(what, text, `is empty; give 1 to ${String(maxCharacters)} characters`);
  if (text === '.' || text === '..') refuse(what, text, 'means a folder; choose another name');
  if (/[/\\]/.test(text)) refuse(what, text, 'contains "/" or "\\", which are not allowed');
  if (text.includes('"')) refuse(what, text, 'contains a double quote, which a VMDK descriptor cannot hold');
  if (/\p{Cc}/u.test(text)) refuse(what, text, 'contains a control character, which is not allowed');
  if (!text.isWellFormed()) refuse(what, text, 'is not well-formed Unicode');
  const characters = Array.from(text).length;
  if (characters > maxCharacters) {
    refuse(what, text, `has ${String(characters)} characters; at most ${String(maxCharacters)} are allowed`);
  }
  const bytes = Buffer.byteLength(text);
  if (bytes > maxBytes) {
    refuse(what, text, `has ${String(bytes)} bytes of UTF-8; at most ${String(maxBytes)} are allowed`);
  }
}

function refuse(what: string, text: string, why: string): never {
  const shown = Array.from(text).slice(0, maxCharacters).join('');
  throw new Fault('InvalidName', `${what} name ${JSON.stringify(shown)} ${why}`);
}
