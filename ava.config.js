/** Test files are TypeScript that Node runs as it is; a process per file, since the FFI library crashes in worker threads. */
export default {
  files: ['test/**/*.test.ts'],
  extensions: { ts: 'module' },
  workerThreads: false,
  concurrency: 2,
  timeout: '120s',
};
