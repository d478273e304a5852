/** The archive format of `ar`, in which VIBs come: as plain as it is old. Pure; names have at most 15 bytes. */

export interface Member {
  readonly name: string;
  readonly contents: Buffer;
}

const magic = '!<arch>\n';

/** @param date in seconds, of each member */
export function arArchive(members: readonly Member[], date: number): Buffer {
  const parts: Buffer[] = [Buffer.from(magic)];
  for (const { name, contents } of members) {
    if (Buffer.byteLength(name) > 15) throw new RangeError(`the name ${name} is too long for an ar archive`);
    const fields = [name.padEnd(16), String(date).padEnd(12), '0'.padEnd(6), '0'.padEnd(6), '100644'.padEnd(8)];
    parts.push(Buffer.from(`${fields.join('')}${String(contents.length).padEnd(10)}\`\n`), contents);
    // Members begin at even places.
    if (contents.length % 2 === 1) parts.push(Buffer.from('\n'));
  }
  return Buffer.concat(parts);
}
