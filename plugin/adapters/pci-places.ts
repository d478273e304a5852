/**
 * Which PCI device a service means by a slot and a bus. Pure. Services name a controller in the words of their
 * hypervisor: by its PCI address, by a slot number of which the guest's firmware tells the address, by the bridge that
 * it sits behind, or by bus and device number. Invariant: the first of these that the words fit decides.
 */

/** Full PCI addresses from the root bridge down to a device: `0000:00:15.0`, `0000:03:00.0`. */
export type PciPlace = readonly string[];

export interface NamedController {
  readonly pciSlot: string;
  readonly pciBus: string;
}

/** @param slotAddress what the guest's own table of slots says of this slot: `0000:03:00` */
export function isController(place: PciPlace, named: NamedController, slotAddress: string | undefined): boolean {
  const address = place.at(-1);
  if (address === undefined) return false;
  const pciSlot = named.pciSlot.toLowerCase();
  const pciBus = named.pciBus.toLowerCase();
  if (/^(?:(?:[0-9a-f]{4}:)?[0-9a-f]{2}:)?[0-9a-f]{2}\.[0-7]$/.test(pciSlot)) return address === inFull(pciSlot);
  if (slotAddress !== undefined) return address.startsWith(`${slotAddress.toLowerCase()}.`);
  if (/^[0-9a-f]{2}\.[0-7]$/.test(pciBus)) return place.at(-2) === inFull(pciBus);
  return address.startsWith(`${busInFull(pciBus)}:${deviceNumber(pciSlot)}.`);
}

/** What is left out is domain 0 and bus 0. */
function inFull(address: string): string {
  return '0000:00:'.slice(0, '0000:00:00.0'.length - address.length) + address;
}

function busInFull(bus: string): string {
  const [number = '', domain = '0000'] = bus.split(':').toReversed();
  return `${domain}:${number.padStart(2, '0')}`;
}

function deviceNumber(slot: string): string {
  return Number(slot).toString(16).padStart(2, '0');
}
