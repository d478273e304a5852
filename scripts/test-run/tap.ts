/**
 * Reads AVA's TAP output line by line. Pure: each line gives at most one finished test; the YAML block below a failed
 * one is its explanation. A skipped or unwritten test counts as failed: what is not run proves nothing.
 */
export interface TestOutcome {
  readonly title: string;
  readonly failure: 'failed' | 'skipped' | 'not written' | undefined;
}

const testLine = /^(not )?ok \d+ - (.*?)(?: # (SKIP|TODO))?$/;

export function readTapLine(line: string): TestOutcome | undefined {
  const found = testLine.exec(line);
  if (!found) return undefined;
  const [, not, title = '', directive] = found;
  switch (directive) {
    case 'SKIP':
      return { title, failure: 'skipped' };
    case 'TODO':
      return { title, failure: 'not written' };
    default:
      return { title, failure: not ? 'failed' : undefined };
  }
}
