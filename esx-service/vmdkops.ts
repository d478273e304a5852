/**
 * `vmdkops`: the administrator's command line. Exit codes, as the archived product's: 0 done, 2 failed, 3 wrong
 * arguments; every failure is one line that begins with "ERROR:".
 */
import process from 'node:process';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import * as z from 'zod';
import { faultOf } from '../common/fault.ts';
import { version } from '../common/version.ts';
import { volumeSchema } from '../native/channel/contract.ts';
import { askService } from './adapters/admin-client.ts';
import { type ColumnKey, columnKeys, volumeTable } from './core/volume-table.ts';

const exitCodes = { done: 0, failed: 2, wrongArguments: 3 } as const;
const listSchema = z.object({ volumes: z.array(volumeSchema) });
const volumeAnswerSchema = z.object({ volume: volumeSchema });
const lockUsesSchema = z.array(z.object({ what: z.string(), mode: z.enum(['read', 'write']), forMs: z.number() }));
const checkSchema = z.object({
  at: z.string(),
  tookMs: z.number(),
  volumes: z.number(),
  findings: z.array(z.string()),
});
/** Reading again what came back takes its time. */
const checkTimeoutMs = 600_000;
const statusSchema = z.object({
  version: z.string(),
  instanceId: z.string(),
  startedAt: z.string(),
  hypervisor: z.string(),
  datastores: z.array(z.object({ name: z.string(), path: z.string(), volumes: z.number() })),
  vms: z.array(z.object({ name: z.string(), attached: z.array(z.string()), problem: z.string().optional() })),
  problems: z.array(z.object({ volume: z.string(), problem: z.string() })),
  leftovers: z.array(z.string()),
  lastCheck: checkSchema.optional(),
  locks: z.array(z.object({ key: z.string(), holders: lockUsesSchema, waiters: lockUsesSchema })),
});

interface GlobalOptions {
  readonly socket: string;
  readonly json: boolean;
}

const program = new Command('vmdkops')
  .description('Administer the volumes of docker-volume-vmdk on this host.')
  .version(version)
  .option('--socket <path>', "the service's admin socket", '/run/docker-volume-vmdk/admin.sock')
  .option('--json', 'print JSON', false)
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'ERROR: ')) })
  .exitOverride();

const volume = program.command('volume').description('look at volumes');
volume
  .command('ls')
  .description('list all volumes')
  .option('-c, --columns <keys>', `only these columns, by comma: ${columnKeys.join(', ')}`, parseColumns, columnKeys)
  .action(async ({ columns }: { columns: readonly ColumnKey[] }) => {
    const { socket, json } = program.opts<GlobalOptions>();
    const { volumes } = await askService(socket, '/v1/volumes', listSchema);
    print(json ? toJson(volumes) : volumeTable(volumes, columns));
    for (const { name, datastore, problem } of volumes) {
      if (problem !== undefined)
        process.stderr.write(`WARNING: volume ${name}@${datastore} cannot be used: ${problem}\n`);
    }
  });
volume
  .command('inspect')
  .description('print all that is known of volumes, as JSON')
  .argument('<name...>', 'names, with or without "@datastore"')
  .action(async (names: readonly string[]) => {
    const { socket } = program.opts<GlobalOptions>();
    const ask = (name: string): Promise<z.infer<typeof volumeAnswerSchema>> =>
      askService(socket, `/v1/volumes/${encodeURIComponent(name)}`, volumeAnswerSchema);
    const answers = await Promise.all(names.map(ask));
    print(toJson(answers.map((answer) => answer.volume)));
  });
program
  .command('status')
  .description('say how the service is')
  .action(async () => {
    const { socket, json } = program.opts<GlobalOptions>();
    const status = await askService(socket, '/v1/status', statusSchema);
    print(json ? toJson(status) : statusText(status));
  });
program
  .command('check')
  .description('compare the volumes with what is attached and with what the datastores hold, and mend what differs')
  .action(async () => {
    const { socket, json } = program.opts<GlobalOptions>();
    const report = await askService(socket, '/v1/check', checkSchema, { method: 'POST', timeoutMs: checkTimeoutMs });
    print(json ? toJson(report) : checkText(report));
  });

function checkText({ volumes, tookMs, findings }: z.infer<typeof checkSchema>): string {
  if (findings.length > 0) return findings.join('\n');
  return `${volumes} volumes are as they were remembered (looked at in ${tookMs} ms)`;
}

function parseColumns(text: string): ColumnKey[] {
  return text.split(',').map((word) => {
    const key = columnKeys.find((candidate) => candidate === word.trim());
    if (key === undefined)
      throw new InvalidArgumentError(`"${word}" is no column; allowed are ${columnKeys.join(', ')}.`);
    return key;
  });
}

function statusText(status: z.infer<typeof statusSchema>): string {
  return [
    `Version: ${status.version}`,
    `Instance: ${status.instanceId}`,
    `Started: ${status.startedAt}`,
    `Hypervisor: ${status.hypervisor}`,
    ...status.datastores.map(({ name, path, volumes }) => `Datastore ${name}: ${path}, ${volumes} volumes`),
    ...status.vms.map(({ name, attached }) =>
      `VM ${name}: ${attached.length} attached ${attached.join(', ')}`.trimEnd(),
    ),
    ...status.vms.flatMap(({ name, problem }) =>
      problem === undefined ? [] : [`Problem: it is not known what VM ${name} holds: ${problem}`],
    ),
    ...status.problems.map(({ volume: name, problem }) => `Problem: volume ${name} cannot be used: ${problem}`),
    ...status.leftovers.map((leftover) => `Left over: ${leftover}`),
    ...checkLines(status.lastCheck),
    ...status.locks.flatMap(({ key, holders, waiters }) => [
      ...holders.map((use) => `Lock ${key}: held by ${useText(use)}`),
      ...waiters.map((use) => `Lock ${key}: waited for by ${useText(use)}`),
    ]),
  ].join('\n');
}

function checkLines(last: z.infer<typeof checkSchema> | undefined): readonly string[] {
  if (!last) return [];
  const { at, tookMs, volumes, findings } = last;
  const summary = `Last check: ${at}, ${volumes} volumes in ${tookMs} ms, ${findings.length} findings`;
  return [summary, ...findings.map((finding) => `Found by the last check: ${finding}`)];
}

function useText({ what, mode, forMs }: z.infer<typeof lockUsesSchema>[number]): string {
  return `${what} (${mode}, for ${(forMs / 1000).toFixed(1)} s)`;
}

function toJson(value: unknown): string {
  return JSON.stringify(value, undefined, 2);
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? exitCodes.done : exitCodes.wrongArguments;
  } else {
    process.stderr.write(`ERROR: ${faultOf(error).message}\n`);
    process.exitCode = exitCodes.failed;
  }
}
