/** What others wrote and our packages contain. Pure. */
export interface Component {
  readonly name: string;
  readonly version: string;
  /** An SPDX expression; undefined where the texts say it better, as Debian's do. */
  readonly licence: string | undefined;
  /** Of its licence and its notices, whole. */
  readonly texts: readonly string[];
  /** Where it comes from, as a package URL (ECMA-427). */
  readonly purl: string;
}

/** In a fixed order, each once. */
export function sorted(components: readonly Component[]): readonly Component[] {
  const byPurl = new Map(components.map((component) => [component.purl, component]));
  return [...byPurl.values()].toSorted((one, other) => (one.purl < other.purl ? -1 : 1));
}

/** A text with all their licences; those that share one share its text. */
export function noticesOf(components: readonly Component[]): string {
  const parts = sorted(components).flatMap((component) =>
    component.texts.map((text) => ({ component, text: text.trim() })),
  );
  const byText = Map.groupBy(parts, ({ text }) => text);
  const told = Array.from(byText, ([text, sharing]) => {
    const names = sharing.map(({ component: { name, version, licence } }) => [
      name,
      version,
      licence && `(${licence})`,
    ]);
    const lines = new Set(names.map((words) => words.filter(Boolean).join(' ')));
    return `${[...lines].join('\n')}\n\n${text}\n`;
  });
  return told.join(`\n${'-'.repeat(100)}\n\n`);
}
