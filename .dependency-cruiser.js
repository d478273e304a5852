/**
 * The layers of the design, checked. Folders import downwards only: plugin, esx-service → native → common; inside the
 * two parts core ← ports ← service ← doors, and adapters are named only where the program is put together.
 */
const part = '^(plugin|esx-service)/';
/** The files that wire a program: they may name adapters, and nothing but tests may import them. */
const roots = '(main|compose|embedded|vmdkops)\\.ts$';
/** Modules that reach outside the process. */
const inputAndOutput =
  '^(node:)?(fs|fs/promises|net|http|https|http2|tls|dgram|dns|dns/promises|child_process|worker_threads|cluster)$';
const clocks = '^(node:)?(timers|timers/promises)$';
/** What both sides of the channel agreed on: types and schemas, no input or output. */
const contract = '^native/channel/contract';

export default {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'Two modules that need each other are one module, or miss a third.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'resolvable',
      comment: 'What is imported must exist.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'common-knows-nobody',
      comment: 'common is used by both sides and knows neither.',
      severity: 'error',
      from: { path: '^common/' },
      to: { path: '^(native|plugin|esx-service|packaging|scripts|test)/' },
    },
    {
      name: 'native-knows-only-common',
      comment: 'The channel serves both sides and knows neither.',
      severity: 'error',
      from: { path: '^native/' },
      to: { path: '^(plugin|esx-service|packaging|scripts|test)/' },
    },
    {
      name: 'plugin-not-into-service',
      comment: 'Guest and host meet only in the channel; the embedded mode starts both, through the public start.',
      severity: 'error',
      from: { path: '^plugin/', pathNot: '^plugin/embedded\\.ts$' },
      to: { path: '^esx-service/' },
    },
    {
      name: 'embedded-only-starts-the-service',
      comment: 'The embedded mode may call what starts the service, and nothing behind it.',
      severity: 'error',
      from: { path: '^plugin/embedded\\.ts$' },
      to: { path: '^esx-service/', pathNot: '^esx-service/(compose|config)\\.ts$' },
    },
    {
      name: 'service-not-into-plugin',
      comment: 'Guest and host meet only in the channel.',
      severity: 'error',
      from: { path: '^esx-service/' },
      to: { path: '^plugin/' },
    },
    {
      name: 'product-without-tools',
      comment: 'What is shipped imports neither tests, scripts nor what packs it.',
      severity: 'error',
      from: { path: part },
      to: { path: '^(packaging|scripts|test)/' },
    },
    {
      name: 'packaging-without-tests',
      comment: 'What makes a release does not depend on the test beds.',
      severity: 'error',
      from: { path: '^packaging/' },
      to: { path: '^test/' },
    },
    {
      name: 'core-is-pure',
      comment: 'core decides: it imports common, the contract and itself.',
      severity: 'error',
      from: { path: `${part}core/` },
      to: { path: '^(common|native|plugin|esx-service)/', pathNot: [`^$1/core/`, '^common/', contract] },
    },
    {
      name: 'core-without-io',
      comment: 'core decides: files, sockets, processes and clocks are arguments.',
      severity: 'error',
      from: { path: `${part}core/` },
      to: { path: [inputAndOutput, clocks], dependencyTypes: ['core'] },
    },
    {
      name: 'ports-are-interfaces',
      comment: 'ports say what the service needs, in the words of core, common and the contract.',
      severity: 'error',
      from: { path: `${part}ports/` },
      to: { path: '^(common|native|plugin|esx-service)/', pathNot: [`^$1/(core|ports)/`, '^common/', contract] },
    },
    {
      name: 'service-through-ports',
      comment: 'service runs the steps through ports; it imports no door, no adapter and no main file.',
      severity: 'error',
      from: { path: `${part}service/` },
      to: {
        path: '^(common|native|plugin|esx-service)/',
        pathNot: [`^$1/(core|ports|service)/`, '^common/', contract],
      },
    },
    {
      name: 'service-without-io',
      comment: 'service reaches files, sockets and processes through ports.',
      severity: 'error',
      from: { path: `${part}service/` },
      to: { path: inputAndOutput, dependencyTypes: ['core'] },
    },
    {
      name: 'doors-before-service',
      comment: 'doors translate the outside world for the service; they know no adapter and no main file.',
      severity: 'error',
      from: { path: `${part}doors/` },
      to: { path: `${part}(adapters/|${roots})` },
    },
    {
      name: 'adapters-behind-ports',
      comment: 'adapters implement ports; they call neither the service nor a door.',
      severity: 'error',
      from: { path: `${part}adapters/` },
      to: { path: `${part}(service/|doors/|${roots})` },
    },
    {
      name: 'adapters-only-from-roots',
      comment: 'Only the files that put a program together name adapters.',
      severity: 'error',
      from: { path: '^(common|native|plugin|esx-service)/', pathNot: [`${part}adapters/`, `${part}${roots}`] },
      to: { path: `${part}adapters/` },
    },
    {
      name: 'one-file-knows-the-ffi',
      comment: 'The FFI packages are a detail of native/ffi.ts.',
      severity: 'error',
      from: { pathNot: '^(native/ffi\\.ts$|node_modules/)' },
      to: { path: '(^|/)(ffi-napi|ref-napi)(/|$)' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|build|coverage)/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
      exportsFields: ['exports'],
    },
  },
};
