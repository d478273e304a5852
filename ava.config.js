/**
 * Test files are TypeScript that Node runs as it is; a process per file, since the FFI library crashes in worker threads.
 * What takes minutes is there for those who ask for it: a test that everybody's run lists but does not do would say nothing.
 */
import process from 'node:process';

const isNested = process.env.TEST_NESTED === '1';
/** Those that are no service of systemd and no plugin on this machine: they are looked at, or sent around. */
const withAllPackages = process.env.TEST_PACKAGES === '1';
/** Unpacked daemons, each with a plugin of its own, all starting at once. */
const isSlow = isNested || process.env.TEST_PLUGIN_FORM === 'managed' || process.env.TEST_DOCKER_RELEASE !== undefined;
const leftOut = [
  ...(isNested ? [] : ['!test/guest/nested/nested.test.ts']),
  ...(withAllPackages ? [] : ['arm64', 'esx', 'image', 'registry'].map((name) => `!test/packaging/${name}.test.ts`)),
];

export default {
  files: ['test/**/*.test.ts', ...leftOut],
  extensions: { ts: 'module' },
  workerThreads: false,
  concurrency: 2,
  /** Without news of any test. */
  timeout: isSlow ? '480s' : '120s',
};
