import test from 'ava';
import { Fault } from '../../../common/fault.ts';
import { type Logger, silentLogger } from '../../../common/logging.ts';
import { Checks } from '../../../esx-service/service/checks.ts';
import { FreshAnswers } from '../../../esx-service/service/fresh-answers.ts';
import { changed, type Commands, refused, startCommands } from '../support/commands.ts';
import { fileOf, place } from '../support/place.ts';
import { rename } from 'node:fs/promises';

function checksOf({ service, inFlight }: Commands, intervalMs = 86_400_000): Checks {
  return Checks.start({ service, inFlight, intervalMs });
}

test('fresh answers: what is asked while a question is under way is answered by the next one, for all at once', async (t) => {
  const asked: ((answer: number) => void)[] = [];
  const answers = new FreshAnswers(() => new Promise<number>((resolve) => asked.push(resolve)));
  const first = answers.get();
  await Promise.resolve();
  const [second, third] = [answers.get(), answers.get()];
  asked[0]?.(1);
  t.is(await first, 1);
  await Promise.resolve();
  t.is(asked.length, 2);
  asked[1]?.(2);
  t.deepEqual(await Promise.all([second, third]), [2, 2]);
});

test('fresh answers: a question that fails fails for those who asked it, and for nobody after them', async (t) => {
  let isBroken = true;
  const answers = new FreshAnswers(() => (isBroken ? Promise.reject(new Fault('Internal', 'no')) : Promise.resolve(1)));
  await refused(t, answers.get(), 'Internal', 'no');
  isBroken = false;
  t.is(await answers.get(), 1);
});

test('checks: the last one is kept, and what it found already is not logged again', async (t) => {
  const at = await place(t);
  const logged: unknown[] = [];
  const logger: Logger = {
    ...silentLogger,
    warn: (message, fields) => {
      if (message === 'found by a check') logged.push(fields?.['finding']);
    },
  };
  const ds = at.path('ds');
  const commands = await startCommands(t, { datastores: { local: ds }, logger });
  using checks = checksOf(commands);
  t.is(checks.last, undefined);
  await rename(ds, at.path('away'));
  for (let round = 0; round < 2; round += 1) t.is((await checks.run()).findings.length, 1);
  t.is(logged.length, 1);
  await rename(at.path('away'), ds);
  const report = await checks.run();
  t.deepEqual(report.findings, []);
  t.is(checks.last, report);
});

test('checks: the service’s end ends the one at work early', async (t) => {
  const at = await place(t);
  const { promise: hangs, resolve } = Promise.withResolvers<never>();
  const commands = await startCommands(t, {
    datastores: { local: at.path('ds') },
    wrap: (datastore) => changed(datastore, { list: () => hangs }),
  });
  const checks = checksOf(commands);
  const running = checks.run();
  checks[Symbol.dispose]();
  await refused(t, running, 'Cancelled', 'the service ends');
  await refused(t, checks.run(), 'Cancelled', 'the service ends');
  t.is(commands.inFlight.size, 0);
  resolve(undefined as never);
});

test('check: a datastore that does not answer is told after a time, and its volumes stay as they were', async (t) => {
  const at = await place(t);
  const never = new Promise<never>(() => undefined);
  const commands = await startCommands(t, {
    datastores: { slow: at.path('slow'), fast: at.path('fast') },
    askTimeoutMs: 2_000,
    wrap: (datastore) => (datastore.name === 'slow' ? changed(datastore, { list: () => never }) : datastore),
  });
  await commands.create('db@slow');
  await commands.create('db@fast');
  await rename(fileOf(at.path('fast'), 'db-flat.vmdk'), at.path('away'));
  const [first, second, ...more] = await commands.check();
  t.deepEqual(more, []);
  t.regex(first ?? '', /^the volumes of datastore slow \(.*\) were not looked at: .* took longer than 2 s/);
  t.regex(second ?? '', /^volume db@fast cannot be used/);
  t.is(commands.get('db@slow').problem, undefined);
});
