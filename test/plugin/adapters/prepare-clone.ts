/** A process of its own that prepares a clone, for a test that ends it half-way: device, type, folder for mounts. */
import process from 'node:process';
import { deadline } from '../../../common/deadline.ts';
import { fstypes } from '../../../common/volume-options.ts';
import { KernelFileSystems } from '../../../plugin/adapters/file-systems.ts';

const [devicePath = '', wanted = '', scratchFolder = ''] = process.argv.slice(2);
const fstype = fstypes.find((known) => known === wanted);
if (fstype === undefined) throw new Error(`no file system type: ${wanted}`);
using limit = deadline(30_000, 'preparing the clone');
await new KernelFileSystems({ scratchFolder }).prepareClone(devicePath, fstype, limit.signal);
