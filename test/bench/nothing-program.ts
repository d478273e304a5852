/** The process of `nothing-server.ts`: nothing-program.ts SOCKET */
import { startNoopDriver } from './noop-driver.ts';

await startNoopDriver(process.argv[2] ?? '', '/');
process.once('SIGTERM', () => process.exit());
