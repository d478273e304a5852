/**
 * What the documents tell to type is typed, and what they show is compared. Each document is read from its top on a
 * machine where the embedded plugin runs: a `json` block is the file that it is a configuration of, a `console` block is
 * run, and every other block is bound to what shows it by `elsewhere.ts`. Of all images there is one, a static busybox.
 */
import test, { type ExecutionContext } from 'ava';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type * as z from 'zod';
import { serviceConfigFile, serviceConfigSchema } from '../../esx-service/config.ts';
import { requestSchema, responseSchema } from '../../native/channel/contract.ts';
import { pluginConfigFile, pluginConfigSchema } from '../../plugin/config.ts';
import { isAsShown, isShownToFail, type Step, stepsOf } from './console.ts';
import { type Block, blocksOf, documentFiles, projectFolder, readDocument } from './documents.ts';
import { type Elsewhere, elsewhere } from './elsewhere.ts';
import { Machine } from './machine.ts';

const { serial } = test;

/** Diagrams, and what a reader sees or sends without typing it here. */
const isProse = ({ language }: Block): boolean => language === 'text';

interface Form {
  readonly schema: z.ZodType;
  /** Where a reader puts it. */
  readonly path?: string;
}

const forms: readonly Form[] = [
  { schema: serviceConfigSchema, path: serviceConfigFile },
  { schema: pluginConfigSchema, path: pluginConfigFile },
  { schema: requestSchema },
  { schema: responseSchema },
];

const documents = await Promise.all(
  (await documentFiles()).map(async (file) => ({ file, blocks: blocksOf(file, await readDocument(file)) })),
);
let machine: Machine | undefined;

test.after.always(() => machine?.close());

for (const { file, blocks } of documents) {
  serial(`${file}: every command does what it shows, on a machine whose images are all one busybox`, async (t) => {
    const work = blocks.filter((block) => !isProse(block) && !elsewhereOf(block));
    if (work.some(({ language }) => language === 'console')) await (await opened()).reset();
    for (const block of work) {
      if (block.language === 'console') for (const step of stepsOf(block)) await follow(t, step, block);
      else await takeFile(t, block);
    }
    t.pass();
  });
}

test('documents: what is shown elsewhere is a block that is there, and what shows it exists', async (t) => {
  const blocks = documents.flatMap((document) => document.blocks);
  for (const entry of elsewhere) {
    const [shower, title = ''] = entry.shownBy;
    t.true(
      blocks.some((block) => isOfBlock(entry, block)),
      `no block of ${entry.file} begins with "${entry.begins}"`,
    );
    await t.notThrowsAsync(stat(join(projectFolder, shower)), `${shower}, which is to show "${entry.begins}"`);
    if (title !== '') t.true((await readDocument(shower)).includes(title), `${shower} says nothing of "${title}"`);
  }
});

async function opened(): Promise<Machine> {
  return (machine ??= await Machine.open());
}

/** An entry for a whole block; those of a `console` block are for single commands. */
function elsewhereOf(block: Block): Elsewhere | undefined {
  return block.language === 'console' ? undefined : elsewhere.find((entry) => isOfBlock(entry, block));
}

function isOfBlock(entry: Elsewhere, block: Block): boolean {
  if (entry.file !== block.file) return false;
  if (block.language !== 'console') return block.lines.join('\n').startsWith(entry.begins);
  return stepsOf(block).some(({ command }) => command.startsWith(entry.begins));
}

async function follow(t: ExecutionContext, step: Step, { file }: Block): Promise<void> {
  if (elsewhere.some((entry) => entry.file === file && step.command.startsWith(entry.begins))) return;
  const { code, stdout } = await (await opened()).run(step.command);
  const told = `${step.place}: ${step.command}\nended with ${code}:\n${stdout}`;
  t.is(code === 0, !isShownToFail(step), told);
  if (step.output !== undefined) t.true(isAsShown(step.output, stdout), `${told}\nshown is:\n${step.output}`);
}

async function takeFile(t: ExecutionContext, block: Block): Promise<void> {
  const place = `${block.file}:${block.line}`;
  t.is(block.language, 'json', `${place}: a block of this language is neither run nor in elsewhere.ts`);
  const text = block.lines.join('\n');
  const value = JSON.parse(text) as unknown;
  const form = forms.find(({ schema }) => schema.safeParse(value).success);
  t.not(form, undefined, `${place}: neither a configuration nor a message of the channel: ${text}`);
  if (form?.path !== undefined && machine) await machine.writeFile(form.path, text);
}
