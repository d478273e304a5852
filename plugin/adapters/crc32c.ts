/** CRC-32C, as file systems keep it. Pure. Invariant: the standard one, for any bytes. */

/** Castagnoli's polynomial, reflected. */
const polynomial = 0x82f63b78;
const table = Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = (value & 1) === 0 ? value >>> 1 : (value >>> 1) ^ polynomial;
  return value >>> 0;
});

export function crc32c(bytes: Buffer): number {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = (table[(sum ^ byte) & 0xff] ?? 0) ^ (sum >>> 8);
  return ~sum >>> 0;
}

/** Of a block that holds its own sum, little-endian, which counts as zeros. */
export function crc32cAround(bytes: Buffer, sumOffset: number): number {
  const blank = Buffer.from(bytes);
  blank.writeUInt32LE(0, sumOffset);
  return crc32c(blank);
}
