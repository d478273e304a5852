/** What the build script makes for tests. Several test files may ask at once: the script replaces its targets whole. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const root = join(import.meta.dirname, '../../..');
const targets = { testing: 'build/testing/libvmci.so', sanitize: 'build/sanitize/libvmci-test' } as const;

/** @returns the path of what was built */
export async function built(kind: keyof typeof targets): Promise<string> {
  await promisify(execFile)('sh', [join(root, 'scripts/build-native.sh'), kind]);
  return join(root, targets[kind]);
}
