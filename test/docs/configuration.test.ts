/** The keys of the configuration: those that the documents name exist, and those that exist are documented. */
import test from 'ava';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { flagOf, variableOf } from '../../common/config.ts';
import { configurationDocument, pluginKeys, serviceKeys, vmKeys } from '../../scripts/docs/configuration.ts';
import { documentFiles, projectFolder, readDocument } from './documents.ts';

const names = (keys: readonly { readonly key: string }[]): readonly string[] => keys.map(({ key }) => key);
const topLevel = [...names(pluginKeys()), ...names(serviceKeys())];
const all = new Set([...topLevel, ...names(vmKeys())]);

/** Where other names that look like keys come from: the channel's fields, and what health and status tell. */
const otherSources = [
  'native/channel/contract.ts',
  'plugin/core/docker-volume.ts',
  'plugin/ports/driver.ts',
  'esx-service/service/status.ts',
];
/** Names that VMware and Docker gave. */
const foreign = ['streamOptimized', 'monolithicFlat', 'propagatedMount'];

const programPattern = /\b(?<program>vmdk-plugin|vmdkopsd) (?<args>--[^`\n]*)/g;
const spanPattern = /`(?<span>[^`\n]+)`/g;

test('docs/configuration.md: is what "npm run docs" makes of the schemas, so each key is in it', async (t) => {
  t.is(await readDocument('docs/configuration.md'), configurationDocument());
});

test('documents: each flag of a daemon and each variable is of a key that exists', async (t) => {
  const flags = {
    'vmdk-plugin': names(pluginKeys()).map(flagOf),
    vmdkopsd: names(serviceKeys()).map(flagOf),
  };
  const variables = topLevel.map(variableOf);
  for (const file of await documentFiles()) {
    const text = await readDocument(file);
    for (const { groups: { program = '', args = '' } = {} } of text.matchAll(programPattern)) {
      const known = [...flags[program as keyof typeof flags], '--config'];
      for (const [flag] of args.matchAll(/--[a-z][a-z-]*/g))
        t.true(known.includes(flag), `${file}: ${program} ${flag}`);
    }
    for (const [variable] of text.matchAll(/\bVMDK_[A-Z_]+\b/g))
      t.true(variables.includes(variable), `${file}: ${variable}`);
  }
});

test('documents: each name in code that looks like a key is one, or a field of what the programs tell', async (t) => {
  const sources = await Promise.all(otherSources.map((file) => readFile(join(projectFolder, file), 'utf8')));
  const words = new Set([...foreign, ...(sources.join('\n').match(/\w+/g) ?? [])]);
  for (const file of await documentFiles()) {
    for (const { groups: { span = '' } = {} } of (await readDocument(file)).matchAll(spanPattern)) {
      const keys = Array.from(span.matchAll(/"(\w+)": /g), ([, key = '']) => key);
      if (/^[a-z]+(?:[A-Z][a-z]*)+$/.test(span)) keys.push(span);
      for (const key of keys) t.true(all.has(key) || words.has(key), `${file}: ${key} is no key`);
    }
  }
});
