/**
 * Test files are TypeScript that Node runs as it is; a process per file, since the FFI library crashes in worker threads.
 * What takes minutes is there for those who ask for it: a test that everybody's run lists but does not do would say nothing.
 */
import process from 'node:process';

const isNested = process.env.TEST_NESTED === '1';

export default {
  files: ['test/**/*.test.ts', ...(isNested ? [] : ['!test/guest/nested/nested.test.ts'])],
  extensions: { ts: 'module' },
  workerThreads: false,
  concurrency: 2,
  /** Without news of any test. */
  timeout: isNested ? '480s' : '120s',
};
