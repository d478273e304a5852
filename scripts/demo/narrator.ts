/** Tells the demo: each command as it is typed, what it said, what it did, and how long it took. */
import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

/** Plain when the output is not a terminal, or when NO_COLOR is set. */
function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

export interface Told {
  readonly stdout: string;
  readonly stderr: string;
}

export class Narrator {
  #chapter = 0;

  title(text: string): void {
    console.log(`\n${paint('bold', text)}`);
  }

  chapter(text: string): void {
    this.#chapter += 1;
    console.log(`\n${paint(['bold', 'cyan'], `${this.#chapter}. ${text}`)}`);
  }

  command(text: string): void {
    console.log(`   ${paint('bold', `$ ${text}`)}`);
  }

  output({ stdout, stderr }: Told): void {
    for (const text of [stdout, stderr].map((part) => part.trimEnd()).filter((part) => part !== '')) {
      console.log(text.replaceAll(/^/gm, '   '));
    }
  }

  /** One sentence of what happened, and its time when something was waited for. */
  remark(text: string, ms?: number): void {
    const time = ms === undefined ? '' : ` ${paint('yellow', `(${readable(ms)})`)}`;
    console.log(`   ${paint('green', `→ ${text}`)}${time}`);
  }

  /** Something that the reader should know before or after the story. */
  note(text: string): void {
    console.log(paint('dim', text));
  }

  failure(text: string): void {
    console.log(`\n${paint('red', text)}`);
  }
}

function readable(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** As a shell would need it typed. */
export function asTyped(command: readonly string[]): string {
  return command.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ');
}
