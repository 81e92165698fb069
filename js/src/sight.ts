/** How far outside the window an element counts as seen, so that scrolling meets what is drawn. */
const MARGIN = "200px";

const told = new WeakMap<Element, (seen: boolean) => void>();
let observer: IntersectionObserver | undefined;

/** Tell whether an element is in sight, soon and with every change. Answers how to stop. */
export function watchSight(el: Element, tell: (seen: boolean) => void): () => void {
  observer ??= new IntersectionObserver(
    (entries) => {
      for (const entry of entries) told.get(entry.target)?.(entry.isIntersecting);
    },
    // `delay` is Chromium's: of hundreds of bars it looks where each is ten times a second and not in every frame.
    { rootMargin: MARGIN, delay: 100 } as IntersectionObserverInit,
  );
  told.set(el, tell);
  observer.observe(el);
  return () => observer?.unobserve(el);
}
