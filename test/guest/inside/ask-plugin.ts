/** Asks the plugin as Docker does: the requests, [verb, body] each, are a list in JSON on the input; so are the answers. */
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { json } from 'node:stream/consumers';

const [socketPath = ''] = process.argv.slice(2);

async function ask(verb: string, body: unknown): Promise<unknown> {
  const asked = request({ socketPath, path: `/VolumeDriver.${verb}`, method: 'POST' });
  asked.end(JSON.stringify(body));
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  return json(answer);
}

const answers: unknown[] = [];
for (const [verb, body] of (await json(process.stdin)) as [string, unknown][]) answers.push(await ask(verb, body));
console.log(JSON.stringify(answers));
