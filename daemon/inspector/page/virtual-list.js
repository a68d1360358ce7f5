/**
 * A list that has elements only for the rows in sight: ten thousand rows cost as much as thirty. Rows are all of one
 * height, and their elements are used again.
 */
import { h, setAttribute, setStyle } from "./dom.js";

/** Rows above and below the visible part. */
const SPARE_ROWS = 6;

/**
 * @template Item
 * @typedef {object} ListOptions
 * @property {string} label for screen readers
 * @property {string} role of the list
 * @property {string} rowRole
 * @property {number} rowHeight
 * @property {() => HTMLElement} createRow
 * @property {(row: HTMLElement, item: Item, index: number) => void} updateRow called for rows in sight only
 * @property {(item: Item, index: number) => void} [onChoose]
 * @property {(event: KeyboardEvent, item: Item, index: number) => boolean} [onKey] true: it was taken
 */

/** @template Item */
export class VirtualList {
  /** @type {readonly Item[]} */
  items = [];
  active = -1;
  /** @type {HTMLElement} */
  element;
  /** @type {HTMLElement} */
  #body;
  /** @type {ListOptions<Item>} */
  #options;
  /** @type {HTMLElement[]} */
  #rows = [];
  #id = `list-${Math.random().toString(36).slice(2, 8)}`;
  #frame = 0;

  /** @param {ListOptions<Item>} options */
  constructor(options) {
    this.#options = options;
    this.#body = h("div", { class: "vlist-body", role: "presentation" });
    this.element = h(
      "div",
      {
        class: "vlist",
        role: options.role,
        tabindex: "0",
        "aria-label": options.label,
        onscroll: () => this.#soon(),
        onkeydown: (/** @type {KeyboardEvent} */ event) => this.#key(event),
        onclick: (/** @type {MouseEvent} */ event) => this.#click(event),
      },
      this.#body,
    );
    new ResizeObserver(() => this.#soon()).observe(this.element);
  }

  /** @param {readonly Item[]} items */
  setItems(items) {
    this.items = items;
    this.active = Math.min(this.active, items.length - 1);
    this.render();
  }

  /** The last row is in sight. */
  get isAtEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.element;
    return scrollTop + clientHeight >= scrollHeight - this.#options.rowHeight;
  }

  scrollToEnd() {
    this.element.scrollTop = this.element.scrollHeight;
  }

  /** @param {number} index */
  reveal(index) {
    const { rowHeight } = this.#options;
    const top = index * rowHeight;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + rowHeight > scrollTop + clientHeight)
      this.element.scrollTop = top + rowHeight - clientHeight;
  }

  /** @param {number} index */
  setActive(index) {
    this.active = Math.max(-1, Math.min(index, this.items.length - 1));
    if (this.active >= 0) this.reveal(this.active);
    this.render();
  }

  #soon() {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.render();
    });
  }

  render() {
    const { rowHeight, role, createRow, updateRow } = this.#options;
    const { scrollTop, clientHeight } = this.element;
    setStyle(this.#body, "height", `${this.items.length * rowHeight}px`);
    setAttribute(
      this.element,
      role === "tree" ? "aria-description" : "aria-rowcount",
      role === "tree" ? `${this.items.length} rows` : String(this.items.length),
    );
    const first = Math.max(0, Math.floor(scrollTop / rowHeight) - SPARE_ROWS);
    const last = Math.min(
      this.items.length,
      Math.ceil((scrollTop + clientHeight) / rowHeight) + SPARE_ROWS,
    );
    const wanted = Math.max(0, last - first);
    while (this.#rows.length < wanted) {
      const row = createRow();
      row.classList.add("vrow");
      row.setAttribute("role", this.#options.rowRole);
      setStyle(row, "height", `${rowHeight}px`);
      this.#rows.push(row);
      this.#body.append(row);
    }
    // a row keeps its item as long as it is in sight: what is focused or selected stays where it is
    const size = this.#rows.length;
    for (let at = 0; at < size; at++) {
      const row = /** @type {HTMLElement} */ (this.#rows[at]);
      const offset = size === 0 ? 0 : (((at - first) % size) + size) % size;
      const index = first + offset;
      const item = this.items[index];
      if (index >= last || item === undefined) {
        if (!row.hidden) row.hidden = true;
        // the name goes to the row that shows the item now
        row.removeAttribute("id");
        continue;
      }
      if (row.hidden) row.hidden = false;
      row.dataset["index"] = String(index);
      row.id = `${this.#id}-${index}`;
      setStyle(row, "transform", `translateY(${index * rowHeight}px)`);
      setAttribute(
        row,
        "aria-selected",
        index === this.active ? "true" : "false",
      );
      if (role !== "tree")
        setAttribute(row, "aria-rowindex", String(index + 1));
      updateRow(row, item, index);
    }
    setAttribute(
      this.element,
      "aria-activedescendant",
      this.active >= first && this.active < last
        ? `${this.#id}-${this.active}`
        : null,
    );
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const row = /** @type {Element} */ (event.target).closest(".vrow");
    if (!(row instanceof HTMLElement)) return;
    const index = Number(row.dataset["index"]);
    const item = this.items[index];
    if (item === undefined) return;
    this.setActive(index);
    this.#options.onChoose?.(item, index);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(
      1,
      Math.floor(this.element.clientHeight / this.#options.rowHeight) - 1,
    );
    const item = this.items[this.active];
    if (item !== undefined && this.#options.onKey?.(event, item, this.active)) {
      event.preventDefault();
      return;
    }
    /** @type {Record<string, number>} */
    const moves = {
      ArrowDown: this.active + 1,
      ArrowUp: Math.max(0, this.active - 1),
      PageDown: this.active + page,
      PageUp: Math.max(0, this.active - page),
      Home: 0,
      End: this.items.length - 1,
    };
    const to = moves[event.key];
    if (to !== undefined) {
      event.preventDefault();
      this.setActive(to);
      const chosen = this.items[this.active];
      if (chosen !== undefined) this.#options.onChoose?.(chosen, this.active);
    }
  }
}
