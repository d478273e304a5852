/** Volumes as an aligned table, with the archived product's columns. Pure: no I/O. */
import { formatSize } from '../../common/sizes.ts';
import type { Volume } from '../../native/channel/contract.ts';

const none = 'N/A';

const columns = {
  volume: ['Volume', ({ name }) => name],
  datastore: ['Datastore', ({ datastore }) => datastore],
  vmgroup: ['VMGroup', () => '_DEFAULT'],
  capacity: ['Capacity', ({ sizeBytes }) => formatSize(sizeBytes)],
  used: ['Used', ({ allocatedBytes }) => formatSize(allocatedBytes)],
  fstype: ['Filesystem', ({ fstype }) => fstype ?? none],
  policy: ['Policy', () => none],
  'disk-format': ['Disk Format', ({ diskformat }) => diskformat],
  'attached-to': ['Attached-to', ({ attached }) => attached?.vm.name ?? 'detached'],
  access: ['Access', ({ access }) => access],
  'attach-as': ['Attach-as', ({ attachAs }) => attachAs],
  'created-by': ['Created By', ({ createdBy }) => createdBy],
  created: ['Created Date', ({ createdAt }) => createdAt],
} as const satisfies Record<string, readonly [title: string, value: (volume: Volume) => string]>;

export type ColumnKey = keyof typeof columns;
export const columnKeys = Object.keys(columns) as ColumnKey[];

/** In the table's own order, whatever the order of `keys`. */
export function volumeTable(volumes: readonly Volume[], keys: readonly ColumnKey[]): string {
  const shown = columnKeys.filter((key) => keys.includes(key)).map((key) => columns[key]);
  const rows = [shown.map(([title]) => title), ...volumes.map((volume) => shown.map(([, value]) => value(volume)))];
  const widths = shown.map((_, column) => Math.max(...rows.map((row) => widthOf(row[column] ?? ''))));
  const ruler = widths.map((width) => '-'.repeat(width));
  return [rows[0] ?? [], ruler, ...rows.slice(1)].map((row) => line(row, widths)).join('\n');
}

function line(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - widthOf(cell)))
    .join('  ')
    .trimEnd();
}

/** In characters, not in UTF-16 units. */
function widthOf(text: string): number {
  return Array.from(text).length;
}
