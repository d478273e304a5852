import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { serviceConfigSchema } from '../../esx-service/config.ts';

test('docs: every configuration of docs/qemu.md is one that the service takes', async (t) => {
  const text = await readFile(join(import.meta.dirname, '../../docs/qemu.md'), 'utf8');
  const examples = [...text.matchAll(/^```json\n(.*?)^```$/gms)].map(([, json = '']) => JSON.parse(json) as unknown);
  t.is(examples.length, 4);
  for (const example of examples) t.is(serviceConfigSchema.parse(example).hypervisor, 'qemu');
});
