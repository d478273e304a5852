/** How the programs become one file each, so that they start without searching node_modules for hundreds of files. */
import type { BuildOptions } from 'esbuild';

export const programs = {
  'vmdk-plugin': 'plugin/main.ts',
  vmdkopsd: 'esx-service/main.ts',
  vmdkops: 'esx-service/vmdkops.ts',
} as const;

export const bundleOptions = {
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  // For debuggers, and for NODE_OPTIONS=--enable-source-maps; always on it would cost a fifth of the start-up time.
  sourcemap: 'linked',
  sourcesContent: false,
  // Their native halves are found relative to their own folders.
  external: ['ffi-napi', 'ref-napi'],
  // Bundled CommonJS packages call require for Node's own modules. The import has a name that no source uses.
  banner: {
    js: "import { createRequire as requireOfBundle } from 'node:module'; const require = requireOfBundle(import.meta.url);",
  },
  logLevel: 'warning',
} satisfies BuildOptions;
