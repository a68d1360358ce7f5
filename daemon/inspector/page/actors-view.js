/** The actors of all processes as a tree, and the chosen one with its chart. */
import { ChartView } from "./chart-view.js";
import { h, replace, setAttribute, setText } from "./dom.js";
import { clock, count, duration, eventName, toneOf, words } from "./format.js";
import { OrderButtons } from "./orders.js";
import { formatSql } from "./streams-view.js";
import { VirtualList } from "./virtual-list.js";

/** @typedef {import("./views.js").Shared} Shared */
/** @typedef {import("../model/actor-tree.ts").ActorView} ActorView */

/**
 * @typedef {object} TreeRow
 * @property {string} key
 * @property {string} label
 * @property {number} level from 1
 * @property {boolean} isBranch
 * @property {boolean} isOpen
 * @property {number} inside
 * @property {ActorView | null} actor null: a process or a thread
 * @property {number} waiting what waits in front of it
 */

const processOrder = ["bookkeeper", "keeper", "source", "destination"];
/** Children of one kind above which they start closed. */
const OPEN_MAX = 40;

export class ActorsView {
  name = "actors";
  title = "Actors";
  /** @type {HTMLElement} */
  element;
  #shared;
  /** @type {string | null} */
  #chosen = null;
  /** The row that keys act on: it may be a process or a thread. @type {string | null} */
  #active = null;
  #search = "";
  #hidesOver = false;
  /** What was opened or closed by hand. @type {Map<string, boolean>} */
  #opened = new Map();
  /** @type {VirtualList<TreeRow>} */
  #tree;
  #chart;
  #orders;
  #count = h("span", { class: "muted num small" });
  #name = h("h2", { class: "mono" });
  #state = h("span", { class: "chip" });
  #facts = h("dl", { class: "facts" });
  #taken = h("ol", { class: "taken" });
  #extra = h("div", {});
  #detail;
  #noChoice = h(
    "p",
    { class: "empty" },
    "Choose an actor to see its chart, the state it is in and how it came there.",
  );
  #over = h(
    "button",
    { "aria-pressed": "false", onclick: () => this.#toggleOver() },
    "Living only",
  );

  /** @param {Shared} shared */
  constructor(shared) {
    this.#shared = shared;
    this.#chart = new ChartView();
    this.#orders = new OrderButtons(shared, () => this.#actor);
    this.#tree = new VirtualList({
      label: "Actors by process and thread",
      role: "tree",
      rowRole: "treeitem",
      rowHeight: 30,
      createRow: () => this.#createRow(),
      updateRow: (row, item) => this.#updateRow(row, item),
      onChoose: (item) => this.#pick(item),
      onKey: (event, item) => this.#key(event, item),
    });
    const search = h("input", {
      type: "search",
      placeholder: "Name, state or event",
      "aria-label": "Search actors",
      oninput: () => {
        this.#search = search.value.trim().toLowerCase();
        this.update();
      },
    });
    this.#detail = h(
      "section",
      { class: "panel actor", "aria-label": "Actor" },
      h(
        "div",
        { class: "panel-head wrap" },
        this.#name,
        this.#state,
        h("span", { class: "grow" }),
        this.#orders.element,
      ),
      this.#facts,
      this.#chart.element,
      this.#extra,
      h("h3", {}, "Transitions taken"),
      this.#taken,
    );
    this.element = h(
      "div",
      { class: "actors" },
      h(
        "section",
        { class: "panel tree-panel", "aria-label": "Tree of actors" },
        h("div", { class: "tools" }, search, this.#over),
        h(
          "div",
          { class: "tree-row table-head", "aria-hidden": "true" },
          h("span", { class: "t-name" }, "Actor"),
          h("span", { class: "t-state" }, "State"),
          h("span", { class: "t-since num" }, "For"),
          h("span", { class: "t-queue num" }, "Queue"),
          h("span", { class: "t-event" }, "Last event"),
        ),
        this.#tree.element,
        h("div", { class: "panel-foot" }, this.#count),
      ),
      this.#detail,
      this.#noChoice,
    );
  }

  /** @param {string} key */
  choose(key) {
    this.#chosen = key;
    this.#active = key;
    let actor = this.#shared.store?.model.tree.actors.get(key);
    while (actor) {
      const { parent, process, thread, machine } = actor;
      this.#opened.set(process, true);
      this.#opened.set(`${process}/${thread}`, true);
      if (parent !== null) {
        this.#opened.set(parent, true);
        this.#opened.set(`${parent}*${machine}`, true);
      }
      actor =
        parent === null
          ? undefined
          : this.#shared.store?.model.tree.actors.get(parent);
    }
  }

  reset() {
    this.#chosen = null;
    this.#active = null;
    this.#opened.clear();
  }

  themeChanged() {}

  get #actor() {
    const { store } = this.#shared;
    return this.#chosen === null
      ? null
      : (store?.model.tree.actors.get(this.#chosen) ?? null);
  }

  update() {
    const { store } = this.#shared;
    if (!store) return;
    const { actors } = store.model.tree;
    if (
      this.#chosen === null &&
      actors.size > 0 &&
      matchMedia("(min-width: 900px)").matches
    )
      this.#chosen = firstOf(actors.values());
    const rows = this.#listRows();
    const active = this.#active ?? this.#chosen;
    this.#tree.active = rows.findIndex((row) => row.key === active);
    this.#tree.setItems(rows);
    const { forgotten } = store.model.tree;
    setText(
      this.#count,
      `${count(actors.size)} actors${forgotten > 0 ? `, ${count(forgotten)} more are not kept` : ""}`,
    );
    this.#showActor();
  }

  #listRows() {
    const { store } = this.#shared;
    const actors = [...(store?.model.tree.actors.values() ?? [])].filter(
      (actor) => !(this.#hidesOver && actor.isOver),
    );
    const queues = countQueues(actors, store?.model);
    if (this.#search !== "") return this.#search_(actors, queues);
    /** @type {Map<string, ActorView[]>} */
    const children = new Map();
    /** @type {Map<string, ActorView[]>} */
    const roots = new Map();
    const known = new Set(actors.map(({ key }) => key));
    for (const actor of actors) {
      const isRoot = actor.parent === null || !known.has(actor.parent);
      const place = isRoot
        ? `${actor.process}/${actor.thread}`
        : /** @type {string} */ (actor.parent);
      const map = isRoot ? roots : children;
      const list = map.get(place);
      if (list) list.push(actor);
      else map.set(place, [actor]);
    }
    /** @type {TreeRow[]} */
    const rows = [];
    const processes = [
      ...new Set([...roots.keys()].map((place) => place.split("/")[0] ?? "")),
    ].sort((a, b) => processOrder.indexOf(a) - processOrder.indexOf(b));
    for (const process of processes) {
      const threads = [...roots.keys()]
        .filter((place) => place.startsWith(`${process}/`))
        .sort((a, b) => Number(a.split("/")[1]) - Number(b.split("/")[1]));
      const isOpen = this.#isOpen(process, true);
      rows.push(
        group(process, `${process} process`, 1, isOpen, threads.length),
      );
      if (!isOpen) continue;
      for (const place of threads) {
        const thread = Number(place.split("/")[1]);
        const isThreadOpen = this.#isOpen(place, true);
        const inside = roots.get(place) ?? [];
        rows.push(
          group(
            place,
            thread === 0 ? "main thread" : `thread of socket ${thread}`,
            2,
            isThreadOpen,
            inside.length,
          ),
        );
        if (isThreadOpen)
          for (const actor of inside)
            this.#addRows(rows, actor, 3, children, queues);
      }
    }
    return rows;
  }

  /**
   * @param {ActorView[]} actors
   * @param {Map<string, number>} queues
   * @returns {TreeRow[]}
   */
  #search_(actors, queues) {
    return actors
      .filter((actor) =>
        `${actor.name} ${actor.state} ${actor.lastEvent} ${actor.process}`
          .toLowerCase()
          .includes(this.#search),
      )
      .map((actor) => ({
        key: actor.key,
        label: actor.name,
        level: 1,
        isBranch: false,
        isOpen: false,
        inside: 0,
        actor,
        waiting: queues.get(actor.key) ?? 0,
      }));
  }

  /**
   * @param {TreeRow[]} rows
   * @param {ActorView} actor
   * @param {number} level
   * @param {Map<string, ActorView[]>} children
   * @param {Map<string, number>} queues
   */
  #addRows(rows, actor, level, children, queues) {
    const inside = children.get(actor.key) ?? [];
    const isOpen = inside.length > 0 && this.#isOpen(actor.key, true);
    rows.push({
      key: actor.key,
      label: actor.name,
      level,
      isBranch: inside.length > 0,
      isOpen,
      inside: inside.length,
      actor,
      waiting: queues.get(actor.key) ?? 0,
    });
    if (!isOpen) return;
    /** @type {Map<string, ActorView[]>} */
    const kinds = new Map();
    for (const child of inside) {
      const kind = kinds.get(child.machine);
      if (kind) kind.push(child);
      else kinds.set(child.machine, [child]);
    }
    for (const [machine, of] of kinds) {
      if (of.length <= OPEN_MAX) {
        for (const child of of)
          this.#addRows(rows, child, level + 1, children, queues);
        continue;
      }
      const key = `${actor.key}*${machine}`;
      const isKindOpen = this.#isOpen(key, false);
      rows.push(
        group(
          key,
          `${count(of.length)} × ${machine}`,
          level + 1,
          isKindOpen,
          of.length,
        ),
      );
      if (isKindOpen)
        for (const child of of)
          this.#addRows(rows, child, level + 2, children, queues);
    }
  }

  /**
   * @param {string} key
   * @param {boolean} otherwise
   */
  #isOpen(key, otherwise) {
    return this.#opened.get(key) ?? otherwise;
  }

  /** @param {TreeRow} item */
  #pick(item) {
    this.#active = item.key;
    if (item.actor !== null) this.#chosen = item.key;
    this.update();
  }

  /**
   * @param {KeyboardEvent} event
   * @param {TreeRow} item
   */
  #key(event, item) {
    if (event.key === "ArrowRight" && item.isBranch && !item.isOpen)
      this.#opened.set(item.key, true);
    else if (event.key === "ArrowLeft" && item.isBranch && item.isOpen)
      this.#opened.set(item.key, false);
    else if (event.key === "Enter" || event.key === " ") {
      if (item.isBranch) this.#opened.set(item.key, !item.isOpen);
      if (item.actor) this.#chosen = item.key;
    } else if (event.key === "ArrowLeft") {
      const { items, active } = this.#tree;
      for (let at = active - 1; at >= 0; at--)
        if ((items[at]?.level ?? 9) < item.level) {
          this.#active = items[at]?.key ?? null;
          this.#tree.setActive(at);
          break;
        }
      return true;
    } else return false;
    this.update();
    return true;
  }

  #toggleOver() {
    this.#hidesOver = !this.#hidesOver;
    setAttribute(this.#over, "aria-pressed", String(this.#hidesOver));
    this.update();
  }

  #createRow() {
    const row = h(
      "div",
      { class: "tree-row" },
      h(
        "span",
        { class: "t-name" },
        h("button", { class: "twist", tabindex: "-1", "aria-hidden": "true" }),
        h("span", { class: "t-label" }),
      ),
      h("span", { class: "t-state" }, h("i", { class: "dot" }), h("span", {})),
      h("span", { class: "t-since num" }),
      h("span", { class: "t-queue num" }),
      h("span", { class: "t-event mono" }),
    );
    row.querySelector(".twist")?.addEventListener("click", (event) => {
      event.stopPropagation();
      const item = this.#tree.items[Number(row.dataset["index"])];
      if (!item?.isBranch) return;
      this.#opened.set(item.key, !item.isOpen);
      this.update();
    });
    return row;
  }

  /**
   * @param {HTMLElement} row
   * @param {TreeRow} item
   */
  #updateRow(row, item) {
    const [name, state, since, queue, event] = /** @type {HTMLElement[]} */ ([
      ...row.children,
    ]);
    if (!name || !state || !since || !queue || !event) return;
    const { actor } = item;
    const now = this.#shared.store?.now ?? 0;
    setAttribute(
      row,
      "class",
      `tree-row vrow level-${Math.min(item.level, 8)}${item.key === this.#chosen ? " chosen" : ""}${actor === null ? " is-group" : ""}${actor?.isOver ? " is-over" : ""}`,
    );
    setAttribute(row, "aria-level", String(item.level));
    setAttribute(
      row,
      "aria-expanded",
      item.isBranch ? String(item.isOpen) : null,
    );
    setText(
      /** @type {Node} */ (name.children[0]),
      item.isBranch ? (item.isOpen ? "▾" : "▸") : "",
    );
    setText(/** @type {Node} */ (name.children[1]), item.label);
    setAttribute(name, "title", item.label);
    const dot = /** @type {Element} */ (state.children[0]);
    setAttribute(
      dot,
      "class",
      actor === null ? "" : `dot ${toneOf(actor.state)}`,
    );
    setText(
      /** @type {Node} */ (state.children[1]),
      actor === null
        ? item.isOpen
          ? ""
          : String(count(item.inside))
        : words(actor.state.replaceAll(".", " · ")) || "running",
    );
    setText(
      since,
      actor === null ? "" : actor.isOver ? "over" : duration(now - actor.since),
    );
    setText(queue, item.waiting > 0 ? count(item.waiting) : "");
    setText(event, eventName(actor?.lastEvent ?? ""));
    setAttribute(event, "title", actor?.lastEvent ?? "");
  }

  #showActor() {
    const actor = this.#actor;
    this.#detail.hidden = actor === null;
    this.#noChoice.hidden = actor !== null;
    const { store, charts } = this.#shared;
    if (!actor || !store) return;
    setText(this.#name, actor.name);
    setText(this.#state, words(actor.state.replaceAll(".", " · ")) || "begun");
    setAttribute(this.#state, "class", `chip ${toneOf(actor.state)}`);
    const over = actor.isOver ? "This actor is over." : undefined;
    this.#orders.update({
      pause: over,
      resume: over,
      retry: over,
      cancel: over,
    });
    const { actors } = store.model.tree;
    const parent = actor.parent === null ? null : actors.get(actor.parent);
    const from = actor.lastFrom === null ? null : actors.get(actor.lastFrom);
    const facts = [
      [
        "Where",
        `${actor.process}, ${actor.thread === 0 ? "main thread" : `thread of socket ${actor.thread}`}`,
      ],
      ["In this state", duration(store.now - actor.since)],
      ["Lives since", clock(actor.bornAt)],
      ["Events", count(actor.events)],
      [
        "Last event",
        actor.lastEvent === ""
          ? "–"
          : `${eventName(actor.lastEvent)}${from ? ` from ${from.name}` : ""}`,
      ],
      ["Parent", parent?.name ?? "none"],
    ];
    if (actor.error) facts.push(["Error", actor.error]);
    const text = facts.join();
    if (this.#facts.dataset["text"] !== text) {
      this.#facts.dataset["text"] = text;
      replace(
        this.#facts,
        facts.map(([name = "", value = ""]) =>
          h(
            "div",
            {},
            h("dt", {}, name),
            name === "Parent" && parent
              ? h(
                  "dd",
                  {},
                  h(
                    "button",
                    {
                      class: "link mono",
                      onclick: () => this.#goTo(parent.key),
                    },
                    value,
                  ),
                )
              : h("dd", { class: "num" }, value),
          ),
        ),
      );
    }
    this.#chart.update(charts[actor.chart] ?? null, actor);
    this.#showTaken(actor);
    this.#showExtra(actor);
  }

  /** @param {string} key */
  #goTo(key) {
    this.choose(key);
    this.update();
    this.#tree.setActive(this.#tree.items.findIndex((row) => row.key === key));
  }

  /** @param {ActorView} actor */
  #showTaken(actor) {
    const taken = Object.entries(actor.took).sort((a, b) => b[1] - a[1]);
    const text = taken.join();
    if (this.#taken.dataset["text"] === text) return;
    this.#taken.dataset["text"] = text;
    replace(
      this.#taken,
      taken.map(([transition, times]) => {
        const [from = "", event = "", to = ""] = transition.split("\n");
        return h(
          "li",
          {},
          h("span", { class: "num times" }, `${count(times)} ×`),
          h("span", {}, from === "" ? "begins" : words(from)),
          h(
            "span",
            { class: "muted mono" },
            event === "" ? "→" : `— ${eventName(event)} →`,
          ),
          h("span", {}, words(to)),
        );
      }),
    );
  }

  /** @param {ActorView} actor */
  #showExtra(actor) {
    const match = /^reader:(\d+\/\d+)$/.exec(actor.name);
    const partition = match?.[1]
      ? this.#shared.store?.model.progress.partitions.get(match[1])
      : null;
    const sql = partition?.sql ?? null;
    const text = `${actor.key} ${sql}`;
    if (this.#extra.dataset["text"] === text) return;
    this.#extra.dataset["text"] = text;
    replace(
      this.#extra,
      ...(partition
        ? [
            h("h3", {}, "Asked of the server"),
            h(
              "pre",
              { class: "sql", tabindex: "0" },
              sql ? formatSql(sql) : "Told when the partition is read.",
            ),
          ]
        : []),
    );
  }
}

/**
 * @param {string} key
 * @param {string} label
 * @param {number} level
 * @param {boolean} isOpen
 * @param {number} inside
 * @returns {TreeRow}
 */
function group(key, label, level, isOpen, inside) {
  return {
    key,
    label,
    level,
    isBranch: true,
    isOpen,
    inside,
    actor: null,
    waiting: 0,
  };
}

/** @param {Iterable<ActorView>} actors */
function firstOf(actors) {
  /** @type {string | null} */
  let first = null;
  for (const { key, machine } of actors) {
    first ??= key;
    if (machine === "run") return key;
  }
  return first;
}

/**
 * What waits in front of an actor: children that are queued, checkpoints that are not released.
 * @param {readonly ActorView[]} actors
 * @param {import("../model/run-model.ts").RunModel | undefined} model
 */
function countQueues(actors, model) {
  /** @type {Map<string, number>} */
  const queues = new Map();
  for (const { parent, state, isOver, machine, key } of actors) {
    if (machine === "checkpointCoordinator") {
      let waiting = 0;
      for (const { recent } of model?.checkpoints.streams.values() ?? [])
        for (const one of recent)
          if (one.releasedAt === null && !one.isVoid) waiting += 1;
      queues.set(key, waiting);
    }
    if (parent !== null && !isOver && state === "queued")
      queues.set(parent, (queues.get(parent) ?? 0) + 1);
  }
  return queues;
}
