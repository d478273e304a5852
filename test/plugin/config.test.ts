import test from 'ava';
import { loadConfig } from '../../common/config.ts';
import { faultOf } from '../../common/fault.ts';
import { pluginConfigSchema } from '../../plugin/config.ts';

const load = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<unknown> =>
  loadConfig(pluginConfigSchema, { defaultFile: '/nonexistent/plugin.json', args, env });

/** Of each key, a wrong value, and what is to be said of a right one. */
const wrong = {
  embedded: ['maybe', /expected boolean/],
  service: ['vsock:2', /use "unix:\/\/\/path", "vsock:\/\/CID" or "vsock:\/\/CID:PORT"/],
  socket: ['vmdk.sock', /must be an absolute path/],
  mountRoot: ['mnt', /must be an absolute path/],
  stateDir: ['state', /must be an absolute path/],
  datastore: ['ds', /must be an absolute path/],
  adminSocket: ['admin', /must be an absolute path/],
  logLevel: ['loud', /"error"\|"warn"\|"info"\|"debug"/],
  maxInFlight: ['0', />=1/],
  createTimeoutMs: ['5', />=100/],
  mountTimeoutMs: ['4000000', /<=3600000/],
  requestTimeoutMs: ['soon', /expected number/],
  prepareTimeoutMs: ['1.5', /int/],
  sweepGraceMs: ['-1', />=100/],
  dockerSocket: ['docker.sock', /must be an absolute path/],
  driverName: ['', />=1/],
  releaseTimeoutMs: ['1', />=100/],
} as const;

test('plugin config: of each key, a wrong value ends the start with one line that names both, and what is right', async (t) => {
  t.deepEqual(
    Object.keys(wrong).filter((key) => !(key in pluginConfigSchema.shape)),
    [],
  );
  t.deepEqual(
    Object.keys(pluginConfigSchema.shape).filter((key) => !(key in wrong)),
    [],
  );
  for (const [key, [value, right]] of Object.entries(wrong)) {
    const words = key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const flag = load([`--${words}=${value}`]);
    const variable = load([], { [`VMDK_${words.replaceAll('-', '_').toUpperCase()}`]: value });
    for (const attempt of [flag, variable]) {
      const { message } = faultOf(await t.throwsAsync(attempt));
      t.true(message.startsWith(`configuration: key ${key} has the value `), `said: ${message}`);
      t.true(message.includes(value), `said: ${message}`);
      t.regex(message, right);
      t.notRegex(message, /\n/);
    }
  }
});
