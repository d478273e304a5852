/**
 * Configuration, read once at start: flags before environment before file before defaults, checked against one schema
 * and frozen. Every problem is reported together, in one line that names key, value and what is allowed.
 */
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import * as z from 'zod';
import { errnoOf, Fault, messageOf } from './fault.ts';

/** Where the values come from; the environment and the arguments are handed in so that nothing here is global. */
export interface ConfigSources {
  /** Used when no `--config` flag names another; may be missing, whereas a file that was asked for must exist. */
  readonly defaultFile: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

const envPrefix = 'VMDK_';

/**
 * Key `mountRoot` is the flag `--mount-root`, the variable `VMDK_MOUNT_ROOT` and the file's `"mountRoot"`. A value that
 * is not a string is written as JSON in flags and variables; a boolean flag needs no value.
 * @throws Fault InvalidRequest
 */
export async function loadConfig<S extends z.ZodObject>(
  schema: S,
  sources: ConfigSources,
): Promise<Readonly<z.infer<S>>> {
  const keys = Object.keys(schema.shape);
  const problems: string[] = [];
  const flags = fromFlags(schema, sources.args, problems);
  const env = fromEnvironment(schema, keys, sources.env, problems);
  const file = await fromFile(flags.file ?? sources.defaultFile, flags.file !== undefined, problems);
  const merged = { ...file, ...env, ...flags.values };
  const result = schema.safeParse(merged);
  for (const issue of result.error?.issues ?? []) problems.push(explain(issue, merged));
  if (problems.length > 0 || !result.success) {
    throw new Fault('InvalidRequest', `configuration: ${problems.join('; ')}`);
  }
  return Object.freeze(result.data);
}

function fromFlags(
  schema: z.ZodObject,
  args: readonly string[],
  problems: string[],
): { readonly values: Record<string, unknown>; readonly file: string | undefined } {
  const names = new Map(Object.keys(schema.shape).map((key) => [kebab(key), key]));
  const options = Object.fromEntries(
    [...names].map(([flag, key]) => [
      flag,
      { type: takesBoolean(schema, key) ? ('boolean' as const) : ('string' as const) },
    ]),
  );
  const values: Record<string, unknown> = {};
  const { tokens } = parseArgs({
    args: [...args],
    options: { ...options, config: { type: 'string' } },
    strict: false,
    allowNegative: true,
    tokens: true,
  });
  let file: string | undefined;
  for (const token of tokens) {
    if (token.kind === 'positional') problems.push(`argument ${JSON.stringify(token.value)} is not expected`);
    if (token.kind !== 'option') continue;
    const key = names.get(token.name);
    if (token.name === 'config' && token.value !== undefined) file = token.value;
    else if (key === undefined) problems.push(`flag ${token.rawName} is unknown; known are ${flagList(names)}`);
    else if (takesBoolean(schema, key) && token.value === undefined) values[key] = !token.rawName.startsWith('--no-');
    else if (token.value === undefined) problems.push(`flag ${token.rawName} needs a value`);
    else values[key] = typed(schema, key, token.value);
  }
  return { values, file };
}

function flagList(names: ReadonlyMap<string, string>): string {
  return [...names.keys(), 'config'].map((flag) => `--${flag}`).join(', ');
}

function fromEnvironment(
  schema: z.ZodObject,
  keys: readonly string[],
  env: ConfigSources['env'],
  problems: string[],
): Record<string, unknown> {
  const names = new Map(keys.map((key) => [variableOf(key), key]));
  const values: Record<string, unknown> = {};
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith(envPrefix) || value === undefined) continue;
    const key = names.get(variable);
    if (key === undefined) problems.push(`variable ${variable} is unknown; known are ${[...names.keys()].join(', ')}`);
    else values[key] = typed(schema, key, value);
  }
  return values;
}

async function fromFile(path: string, isRequired: boolean, problems: string[]): Promise<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
    problems.push(`file ${path} must hold a JSON object`);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' && !isRequired) return {};
    const what = error instanceof SyntaxError ? 'is not JSON: ' : 'cannot be read: ';
    // What is quoted of the file may have several lines.
    problems.push(`file ${path} ${what}${messageOf(error).replaceAll(/\s+/g, ' ')}`);
  }
  return {};
}

function takesBoolean(schema: z.ZodObject, key: string): boolean {
  return fieldOf(schema, key).safeParse(true).success;
}

/** A flag or variable is text; what the schema does not take as text is read as JSON. */
function typed(schema: z.ZodObject, key: string, text: string): unknown {
  if (fieldOf(schema, key).safeParse(text).success) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function fieldOf(schema: z.ZodObject, key: string): z.ZodType {
  const field: unknown = schema.shape[key];
  return field instanceof z.ZodType ? field : z.never();
}

function explain(issue: z.core.$ZodIssue, merged: Readonly<Record<string, unknown>>): string {
  if (issue.code === 'unrecognized_keys') return `key ${issue.keys.join(', ')} is unknown`;
  const key = issue.path.join('.');
  const value = issue.path.reduce<unknown>(
    (inner, step) => (typeof inner === 'object' && inner !== null ? Reflect.get(inner, step) : undefined),
    merged,
  );
  return `key ${key} has the value ${value === undefined ? 'none' : JSON.stringify(value)}: ${issue.message}`;
}

/** The flag of a key: `--mount-root`. */
export function flagOf(key: string): string {
  return `--${kebab(key)}`;
}

/** The environment variable of a key: `VMDK_MOUNT_ROOT`. */
export function variableOf(key: string): string {
  return envPrefix + kebab(key).replaceAll('-', '_').toUpperCase();
}

function kebab(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
