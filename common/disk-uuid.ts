/**
 * A disk's identity, in the form that VMware gives its disks: 16 bytes that begin with VMware's own number, so that
 * guests and tools see the same one as the disk's WWN. Inside: 32 lower-case hexadecimal digits.
 */
declare const brand: unique symbol;
export type DiskUuid = string & { readonly [brand]: 'DiskUuid' };

/** An identifier of NAA type 6 with VMware's IEEE number, 00:0C:29. */
const vmwarePrefix = '6000c29';
const digits = 32;

/** @param random any UUID text; 100 of its bits are kept */
export function newDiskUuid(random: string): DiskUuid {
  return (vmwarePrefix + random.replaceAll('-', '').slice(vmwarePrefix.length)) as DiskUuid;
}

/** `60 00 C2 9a bc de f0 12-34 …`: VMware writes its own prefix in capitals. */
export function formatDiskUuid(uuid: DiskUuid): string {
  const bytes = uuid.replace(/^6000c2/, '6000C2').match(/../g) ?? [];
  return `${bytes.slice(0, 8).join(' ')}-${bytes.slice(8).join(' ')}`;
}

/** Any spelling with 32 digits; undefined when there is none, or none that can be told apart. */
export function parseDiskUuid(text: string | undefined): DiskUuid | undefined {
  const plain = (text ?? '').replaceAll(/[\s-]/g, '').toLowerCase();
  return isDiskUuid(plain) && !/^0+$/.test(plain) ? plain : undefined;
}

export function isDiskUuid(text: string): text is DiskUuid {
  return text.length === digits && /^[0-9a-f]+$/.test(text);
}
