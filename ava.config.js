/**
 * Test files are TypeScript that Node runs as it is; a process per file, since the FFI library crashes in worker threads.
 * What takes minutes is there for those who ask for it: a test that everybody's run lists but does not do would say nothing.
 */
import process from 'node:process';

const isNested = process.env.TEST_NESTED === '1';
/** Needs a compiler for it, and Debian's packages for it. */
const isForArm64 = process.env.TEST_ARM64 === '1';
/** Unpacked daemons, each with a plugin of its own, all starting at once. */
const isSlow = isNested || process.env.TEST_PLUGIN_FORM === 'managed' || process.env.TEST_DOCKER_RELEASE !== undefined;
const leftOut = [
  ...(isNested ? [] : ['!test/guest/nested/nested.test.ts']),
  ...(isForArm64 ? [] : ['!test/packaging/arm64.test.ts']),
];

export default {
  files: ['test/**/*.test.ts', ...leftOut],
  extensions: { ts: 'module' },
  workerThreads: false,
  concurrency: 3,
  /** Without news of any test. */
  timeout: isSlow ? '480s' : '120s',
};
