/**
 * The records of libvmci's uevent stream, as values.
 *
 * Invariant: pure; however the stream was cut into pieces, each record comes out once, in order, and a gap that the
 * kernel or the library told of comes out as 'overflow' in its place.
 */
export interface Uevent {
  /** "add", "change", "remove", "bind", ... */
  readonly action: string;
  /** Below /sys. */
  readonly devpath: string;
  readonly subsystem: string;
  readonly properties: ReadonlyMap<string, string>;
}

const lengthBytes = 4;

/** `add@/devices/...`, then KEY=VALUE, each ended by NUL. Undefined for what has another form. */
export function parseUevent(message: Buffer): Uevent | undefined {
  const [, ...pairs] = message.toString().split('\0');
  const properties = new Map<string, string>();
  for (const pair of pairs) {
    const equals = pair.indexOf('=');
    if (equals > 0) properties.set(pair.slice(0, equals), pair.slice(equals + 1));
  }
  const action = properties.get('ACTION');
  const devpath = properties.get('DEVPATH');
  if (action === undefined || devpath === undefined) return undefined;
  return { action, devpath, subsystem: properties.get('SUBSYSTEM') ?? '', properties };
}

export class UeventDecoder {
  #unread: Buffer = Buffer.alloc(0);

  /** What the bytes complete. */
  push(bytes: Buffer): (Uevent | 'overflow')[] {
    const events: (Uevent | 'overflow')[] = [];
    let unread = this.#unread.length === 0 ? bytes : Buffer.concat([this.#unread, bytes]);
    while (unread.length >= lengthBytes) {
      const end = lengthBytes + unread.readUInt32LE();
      if (unread.length < end) break;
      const event = end === lengthBytes ? 'overflow' : parseUevent(unread.subarray(lengthBytes, end));
      if (event !== undefined) events.push(event);
      unread = unread.subarray(end);
    }
    this.#unread = unread;
    return events;
  }
}
