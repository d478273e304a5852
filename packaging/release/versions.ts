/**
 * Whether what states the version agrees: package.json, which alone is where it is changed, its lock file, and
 * CHANGELOG.md (keepachangelog.com). Pure.
 */
import { parser, type Release } from 'keep-a-changelog';

export interface Stated {
  /** In package.json. */
  readonly version: string;
  readonly lockVersion: string;
  /** The text of CHANGELOG.md. */
  readonly changelog: string;
}

/**
 * Sentences on what does not agree. What is under "Unreleased" belongs to the version that comes next.
 * @throws Error with the line in which the change log is not one
 */
export function problemsOfVersions({ version, lockVersion, changelog }: Stated): readonly string[] {
  const problems: string[] = [];
  if (lockVersion !== version)
    problems.push(
      `package-lock.json says ${lockVersion}, and package.json ${version}: run npm install --package-lock-only`,
    );
  const { releases } = parser(changelog);
  const released = releases.flatMap((release) => release.version ?? []);
  const hasNews = releases.some((release) => release.version === undefined && entriesOf(release) > 0);
  const isReleased = released.includes(version);
  if (hasNews && isReleased)
    problems.push(
      `CHANGELOG.md has entries under Unreleased, but ${version} is released: raise the version in package.json`,
    );
  if (!hasNews && released[0] !== version)
    problems.push(`CHANGELOG.md says nothing of ${version}, neither under Unreleased nor in a section of its own`);
  return problems;
}

function entriesOf(release: Release): number {
  return [...release.changes.values()].reduce((sum, changes) => sum + changes.length, 0);
}
