/**
 * Counts what held and what did not, says each as it happens, and all failures once more at the end: the last line is
 * "N passed, N failed". A check counts like a test.
 */
import process from 'node:process';
import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

/** Plain when the output is not a terminal, or when NO_COLOR is set. */
function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

export class Tally {
  #passed = 0;
  readonly #failed: string[] = [];

  pass(title: string): void {
    this.#passed += 1;
    console.log(`${paint('green', 'ok')}     ${title}`);
  }

  fail(title: string, why = ''): void {
    this.#failed.push(title);
    console.log(`${paint('red', 'not ok')} ${title}`);
    if (why) console.log(why.replaceAll(/^/gm, '       '));
  }

  /** @returns the exit code */
  finish(): number {
    if (this.#failed.length > 0) console.log(`\nfailed:`);
    for (const title of this.#failed) console.log(`  ${title}`);
    console.log(`\n${this.#passed} passed, ${this.#failed.length} failed`);
    return this.#failed.length === 0 && this.#passed > 0 ? 0 : 1;
  }
}
