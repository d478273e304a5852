/** What is wrong with a message, in one line for the peer's log: the first few problems, each with its place. */
import type { z } from 'zod';

const maxIssues = 3;

export function describeIssues(error: z.ZodError): string {
  const shown = error.issues.slice(0, maxIssues).map(({ path, message }) => {
    const place = path.join('.');
    return place === '' ? message : `${place}: ${message}`;
  });
  return shown.join('; ');
}
