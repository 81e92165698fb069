import { make } from "../dom";

/** Children of an element that follow a list: as many as items, made once, changed in place. */
export class List<Item> {
  constructor(
    readonly el: HTMLElement,
    private readonly makeOne: () => HTMLElement,
    private readonly change: (el: HTMLElement, item: Item) => void,
  ) {}

  draw(items: readonly Item[]): void {
    while (this.el.children.length > items.length) this.el.lastElementChild?.remove();
    items.forEach((item, index) => {
      let el = this.el.children[index];
      if (el === undefined) {
        el = this.makeOne();
        this.el.append(el);
      }
      this.change(el as HTMLElement, item);
    });
  }
}

/** A part of the details with a heading; hidden while it has nothing to say. */
export class Section {
  readonly el: HTMLElement;
  readonly body: HTMLElement;

  constructor(doc: Document, parent: HTMLElement, heading: string) {
    this.el = make(doc, "section", parent);
    this.el.setAttribute("role", "group");
    this.el.setAttribute("aria-label", heading);
    // Not a heading to machines: the outline of the notebook is its author's.
    const name = make(doc, "heading", this.el);
    name.textContent = heading;
    this.body = make(doc, "body", this.el);
    this.el.hidden = true;
  }

  show(shown: boolean): void {
    if (this.el.hidden === shown) this.el.hidden = !shown;
  }
}

export function cell(row: HTMLElement, index: number): HTMLElement {
  return row.children[index] as HTMLElement;
}
