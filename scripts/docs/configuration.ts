/** `docs/configuration.md`, made from the schemas that check the configuration: what it says is what is checked. */
import * as z from 'zod';
import { flagOf, variableOf } from '../../common/config.ts';
import { serviceConfigFile, serviceConfigSchema } from '../../esx-service/config.ts';
import { pluginConfigFile, pluginConfigSchema } from '../../plugin/config.ts';

/** As much of JSON Schema as our configurations have. */
const formSchema = z.object({
  type: z.string().optional(),
  description: z.string().optional(),
  default: z.unknown().optional(),
  enum: z.array(z.string()).optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  pattern: z.string().optional(),
  format: z.string().optional(),
  anyOf: z.array(z.unknown()).optional(),
  allOf: z.array(z.object({ pattern: z.string().optional() })).optional(),
  get items() {
    return formSchema.optional();
  },
  get properties() {
    return z.record(z.string(), formSchema).optional();
  },
  required: z.array(z.string()).optional(),
});
type Form = z.infer<typeof formSchema>;

export interface Key {
  readonly key: string;
  readonly allowed: string;
  /** As JSON; undefined when there is none. */
  readonly default: string | undefined;
  readonly isRequired: boolean;
  readonly text: string;
}

export function pluginKeys(): readonly Key[] {
  return keysOf(formOf(pluginConfigSchema));
}

export function serviceKeys(): readonly Key[] {
  return keysOf(formOf(serviceConfigSchema));
}

/** Of each element of `vms`. */
export function vmKeys(): readonly Key[] {
  const { items } = formOf(serviceConfigSchema).properties?.['vms'] ?? {};
  if (!items) throw new Error('vms is no list of objects any more');
  return keysOf(items);
}

function formOf(schema: z.ZodType): Form {
  return formSchema.parse(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }));
}

function keysOf({ properties = {}, required = [] }: Form): readonly Key[] {
  return Object.entries(properties).map(([key, form]) => {
    if (form.description === undefined) throw new Error(`the key ${key} has no description`);
    return {
      key,
      allowed: allowedBy(form),
      default: form.default === undefined ? undefined : JSON.stringify(form.default),
      isRequired: required.includes(key),
      text: form.description,
    };
  });
}

function allowedBy(form: Form): string {
  const { enum: words, anyOf, allOf = [], type, minimum, maximum, pattern, format, items } = form;
  if (words) return words.map((word) => `\`${word}\``).join(', ');
  if (anyOf) return 'an absolute path, or empty';
  if (format === 'uuid') return 'a UUID';
  if (allOf.length > 1) return 'an absolute path with one `*`, in its last part';
  if (pattern?.startsWith('^\\/')) return 'an absolute path';
  switch (type) {
    case 'boolean':
      return '`true`, `false`';
    case 'integer':
      return `${minimum} to ${maximum}`;
    case 'object':
      return 'an object of names and absolute paths';
    case 'array':
      return items?.properties ? 'a list of objects, see below' : 'a list';
    default:
      return 'text';
  }
}

const head = `# Configuration

<!-- Made by "npm run docs" from plugin/config.ts and esx-service/config.ts: change it there. -->

Each program reads one JSON file. Every key of the file is also a flag and an environment variable. A flag goes before a
variable, a variable before the file, and the file before the default. A value that is not plain text, such as a list, is
written as JSON in flags and variables. A boolean flag needs no value, and \`--no-\` before its name switches it off.
\`--config FILE\` names another file, which must then exist.

All is checked at the start. An unknown key, flag or variable (of those that begin with \`VMDK_\`), or a bad value, ends
the start with one line that names the key, the value and what is allowed.
`;

/** The document. Tables, as the readers of keys look them up. */
export function configurationDocument(): string {
  return [
    head,
    `## vmdk-plugin\n\nThe file is \`${pluginConfigFile}\`; it may be missing.\n`,
    table(pluginKeys(), true),
    `## vmdkopsd\n\nThe file is \`${serviceConfigFile}\`.\n`,
    table(serviceKeys(), true),
    '### Each of `vms`\n',
    table(vmKeys(), false),
  ].join('\n');
}

function table(keys: readonly Key[], isTopLevel: boolean): string {
  const columns = isTopLevel
    ? ['key', 'flag, variable', 'allowed', 'default', 'what it is']
    : ['key', 'allowed', 'default', 'what it is'];
  const rows = keys.map((key) => {
    const names = isTopLevel ? [`\`${flagOf(key.key)}\`, \`${variableOf(key.key)}\``] : [];
    const preset = key.default === undefined ? (key.isRequired ? '(required)' : '') : `\`${key.default}\``;
    return [`\`${key.key}\``, ...names, key.allowed, preset, key.text];
  });
  return [columns, columns.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}
