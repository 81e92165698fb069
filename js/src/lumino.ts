/** What is used of `@lumino/widgets`, which the host brings. */

export interface LuminoWidget {
  readonly node: HTMLElement;
  readonly isDisposed: boolean;
  addClass(name: string): void;
  dispose(): void;
}

export type LuminoWidgetClass = new () => LuminoWidget;

/** One version of a shared package. `get` is all that the hosts' formats have in common; `loaded` is a hint. */
export interface SharedEntry {
  get(): unknown;
  readonly loaded?: unknown;
}

export type ShareScope = Readonly<Record<string, Readonly<Record<string, SharedEntry>>>>;

const PACKAGE = "@lumino/widgets";

/**
 * Find the host's own Widget class: a widget of another copy is not attached by its layouts.
 *
 * Raises where the host shares no such package.
 */
export async function findWidgetClass(scope: ShareScope): Promise<LuminoWidgetClass> {
  const versions = Object.entries(scope[PACKAGE] ?? {}).sort(([a, first], [b, second]) => {
    const loaded = Number(Boolean(second.loaded)) - Number(Boolean(first.loaded));
    return loaded || b.localeCompare(a, "en", { numeric: true });
  });
  const entry = versions[0]?.[1];
  if (entry === undefined) throw new Error(`The page shares no ${PACKAGE}; is this JupyterLab 4 or Notebook 7?`);
  const factory = (await entry.get()) as () => { readonly Widget: LuminoWidgetClass };
  return factory().Widget;
}
