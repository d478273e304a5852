/** Requests that must be refused with a sentence, or dropped, and must change nothing. */
import { Violation } from './history.ts';
import type { Answer, PluginDoor } from './plugin-door.ts';
import type { BadRequest } from './step.ts';
import { textOf } from './verdict.ts';

interface Bad {
  readonly path: string;
  readonly method?: 'GET';
  readonly body: string;
  readonly status: number;
  /** What the sentence must tell; undefined for no answer at all. */
  readonly says: RegExp | undefined;
}

const verb = (name: string, body: unknown, says: RegExp, status = 200): Bad => ({
  path: `/VolumeDriver.${name}`,
  body: typeof body === 'string' ? body : JSON.stringify(body),
  status,
  says,
});

const all: Readonly<Record<BadRequest, Bad>> = {
  'mount without ID': verb('Mount', { Name: 'shared 0' }, /field ID must be a string/, 400),
  'mount of an unknown volume': verb('Mount', { Name: 'nobody', ID: 'x' }, /volume nobody@fast does not exist/),
  'get of an unknown volume': verb('Get', { Name: 'nobody' }, /volume nobody@fast does not exist/),
  'create with a bad name': verb('Create', { Name: 'a/b', Opts: null }, /"a\/b".*contains "\/"/),
  'create with an unknown option': verb('Create', { Name: 'bad', Opts: { colour: 'red' } }, /unknown option "colour"/),
  'create with a bad size': verb('Create', { Name: 'bad', Opts: { size: 'much' } }, /size "much" is not a size/),
  'create on an unknown datastore': verb('Create', { Name: 'bad@nowhere', Opts: {} }, /datastore nowhere/),
  'clone of an unknown volume': verb(
    'Create',
    { Name: 'bad', Opts: { 'clone-from': 'nobody' } },
    /nobody@fast does not exist/,
  ),
  'body that is not JSON': verb('Create', '{"Name": ', /JSON/, 400),
  'body that is a list': verb('Mount', [], /object/, 400),
  'empty body': { path: '/VolumeDriver.Mount', body: '', status: 0, says: undefined },
  'name that is a number': verb('Remove', { Name: 7 }, /field Name must be a string/, 400),
  'unknown verb': verb('Explode', {}, /nothing at/, 404),
  'verb by GET': { method: 'GET', path: '/VolumeDriver.List', body: '', status: 405, says: /POST/ },
};

export async function askBadly(door: PluginDoor, which: BadRequest): Promise<void> {
  const { path, method = 'POST', body, status, says } = all[which];
  const answer = await door.send(method, path, body);
  if (answer.kind === 'down' || isRight(answer, status, says)) return;
  throw new Violation(undefined, `a bad request (${which}) was answered "${textOf(answer)}"`);
}

function isRight(answer: Answer, status: number, says: RegExp | undefined): boolean {
  if (says === undefined) return answer.kind === 'dropped';
  return answer.kind === 'refused' && answer.status === status && says.test(answer.sentence);
}
