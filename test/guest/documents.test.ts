import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { serviceConfigSchema } from '../../esx-service/config.ts';
import { projectFolder } from './workshop.ts';

test('docs/vsock.md: its configuration is one that the service takes', async (t) => {
  const text = await readFile(join(projectFolder, 'docs/vsock.md'), 'utf8');
  const examples = [...text.matchAll(/```json\n([^`]*)```/g)].map(([, example = '']) => JSON.parse(example) as unknown);
  t.is(examples.length, 1);
  for (const example of examples) t.notThrows(() => serviceConfigSchema.parse(example));
});
