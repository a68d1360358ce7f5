/** What actors told each other, record by record, on lifelines. */
import { h, replace, setAttribute, setStyle, setText } from "./dom.js";
import { clock, count, eventName, toneOf, words } from "./format.js";
import { chartKey } from "../model/names.ts";
import { VirtualList } from "./virtual-list.js";

/** @typedef {import("./views.js").Shared} Shared */
/** @typedef {import("./store.js").Numbered} Numbered */
/** @typedef {import("../model/records.ts").ModelRecord} ModelRecord */

/** Matching records that are listed, the newest. */
const LISTED_MAX = 20_000;
const kinds = /** @type {const} */ ([
  ["event", "Events"],
  ["state", "States"],
  ["life", "Births and ends"],
  ["figures", "Figures"],
]);
const processOrder = ["bookkeeper", "keeper", "source", "destination"];
const machineOrder = [
  "bookkeeper",
  "run",
  "streamRun",
  "keeper",
  "sourceProcess",
  "partitioner",
  "resplitter",
  "reader",
  "statsEmitter",
  "channel",
  "destinationProcess",
  "checkpointCoordinator",
  "inputFlow",
  "writer",
];

/** Where the process is said above, or the whole name is too long for a lane. @type {Record<string, string>} */
const laneNames = {
  sourceProcess: "process",
  destinationProcess: "process",
  checkpointCoordinator: "coordi\u00adnator",
  partitioner: "partition\u00ader",
  bookkeeper: "book\u00adkeeper",
  statsEmitter: "stats",
};

/**
 * @typedef {object} Lane
 * @property {string} key
 * @property {string} label
 * @property {string} process
 */

export class SequenceView {
  name = "sequence";
  title = "Sequence";
  /** @type {HTMLElement} */
  element;
  #shared;
  #search = "";
  /** @type {Set<string>} */
  #kinds = new Set(["event", "state"]);
  /** @type {VirtualList<Numbered>} */
  #list;
  #heads = h("div", { class: "lane-heads", "aria-hidden": "true" });
  #scroll = h("div", { class: "sequence-scroll" });
  #count = h("span", { class: "muted num small" });
  #empty = h("p", { class: "empty" });
  #jump = h(
    "button",
    { class: "jump", hidden: true, onclick: () => this.#list.scrollToEnd() },
    "Newest ↓",
  );
  /** @type {Numbered[]} */
  #listed = [];
  /** @type {Lane[]} */
  #lanes = [];
  /** @type {Map<string, number>} */
  #laneOf = new Map();
  #seen = 0;
  #generation = -1;
  #filterText = "";
  #chosen = -1;
  #detail = h("section", {
    class: "record-detail",
    "aria-label": "Record",
    hidden: true,
  });

  /** @param {Shared} shared */
  constructor(shared) {
    this.#shared = shared;
    this.#list = new VirtualList({
      label: "Records in order of time",
      role: "grid",
      rowRole: "row",
      rowHeight: 30,
      createRow,
      updateRow: (row, item) => this.#updateRow(row, item),
      onChoose: (item) => this.#choose(item),
    });
    const search = h("input", {
      type: "search",
      placeholder: "Actor, event or state; - leaves out",
      "aria-label": "Search records",
      oninput: () => {
        this.#search = search.value.trim().toLowerCase();
        this.update();
      },
    });
    const chips = h("div", {
      class: "filter",
      role: "group",
      "aria-label": "Kinds of records",
    });
    for (const [kind, label] of kinds) {
      const button = h(
        "button",
        {
          "aria-pressed": String(this.#kinds.has(kind)),
          onclick: () => {
            if (!this.#kinds.delete(kind)) this.#kinds.add(kind);
            setAttribute(button, "aria-pressed", String(this.#kinds.has(kind)));
            this.update();
          },
        },
        label,
      );
      chips.append(button);
    }
    this.#scroll.append(this.#heads, this.#list.element);
    this.element = h(
      "div",
      { class: "panel sequence" },
      h("div", { class: "tools" }, chips, search, this.#count),
      this.#scroll,
      this.#empty,
      this.#jump,
      this.#detail,
    );
  }

  reset() {
    this.#listed = [];
    this.#seen = 0;
    this.#generation = -1;
    this.#chosen = -1;
    this.#detail.hidden = true;
  }

  themeChanged() {}

  update() {
    const { store } = this.#shared;
    if (!store) return;
    const wasAtEnd = this.#list.isAtEnd;
    const filterText = `${[...this.#kinds].join()}|${this.#search}|${store.isFollowing}`;
    const source = store.isFollowing ? store.recent : store.around;
    const first = source[0]?.sequence ?? 0;
    if (
      store.generation !== this.#generation ||
      filterText !== this.#filterText
    ) {
      const isOther = filterText !== this.#filterText || store.isFollowing;
      this.#generation = store.generation;
      this.#filterText = filterText;
      const isSame =
        !isOther &&
        this.#listed[0] !== undefined &&
        this.#windowFirst === first;
      if (!isSame) {
        this.#listed = [];
        this.#seen = first;
        this.#lanes = [];
        this.#laneOf.clear();
      }
      this.#windowFirst = first;
    }
    for (let at = Math.max(0, this.#seen - first); at < source.length; at++) {
      const one = source[at];
      if (one && this.#isWanted(one.record)) this.#listed.push(one);
    }
    this.#seen = first + source.length;
    if (this.#listed.length > LISTED_MAX)
      this.#listed.splice(0, this.#listed.length - LISTED_MAX);
    this.#findLanes();
    if (!store.isFollowing) {
      const at = lastAtOrBefore(this.#listed, store.position - 1);
      this.#list.active = at;
      this.#list.setItems(this.#listed);
      if (at >= 0) this.#list.reveal(at);
    } else {
      this.#list.active = this.#listed.findIndex(
        (one) => one.sequence === this.#chosen,
      );
      this.#list.setItems(this.#listed);
      if (wasAtEnd) this.#list.scrollToEnd();
    }
    this.#jump.hidden = !store.isFollowing || this.#list.isAtEnd;
    setText(
      this.#count,
      `${count(this.#listed.length)} of ${count(source.length)}`,
    );
    this.#empty.hidden = this.#listed.length > 0;
    setText(
      this.#empty,
      source.length === 0
        ? "Records appear as the actors move."
        : "No record here is like this. Allow more kinds, or clear the search.",
    );
  }

  #windowFirst = -1;

  /** @param {ModelRecord} record */
  #isWanted(record) {
    const isPromise =
      record.machine !== "" && !this.#isMachine(record.process, record.machine);
    const kind =
      isPromise || record.kind === "actor" || record.kind === "stopped"
        ? "life"
        : record.kind;
    if (kind !== "dropped" && !this.#kinds.has(kind)) return false;
    if (this.#search === "") return true;
    const text =
      `${this.#nameOf(record)} ${record.event ?? ""} ${record.state ?? ""} ${record.process} ${record.kind} ${record.figures?.type ?? ""}`.toLowerCase();
    return this.#search
      .split(/\s+/)
      .every((word) =>
        word.startsWith("-") && word.length > 1
          ? !text.includes(word.slice(1))
          : text.includes(word),
      );
  }

  /**
   * Promises have no lifeline: they are their parent's.
   * @param {string} process
   * @param {string} machine
   */
  #isMachine(process, machine) {
    return this.#shared.charts[chartKey(process, machine)] !== undefined;
  }

  /** @param {ModelRecord} record */
  #laneKey(record) {
    if (this.#isMachine(record.process, record.machine))
      return laneKey(record.process, record.machine);
    const { actors } = this.#shared.store?.model.tree ?? { actors: new Map() };
    const parent = actors.get(
      actors.get(`${record.process}/${record.thread}/${record.actor}`)
        ?.parent ?? "",
    );
    return parent ? laneKey(parent.process, parent.machine) : "";
  }

  /** @param {ModelRecord} record */
  #nameOf(record) {
    const key = `${record.process}/${record.thread}/${record.actor}`;
    return (
      this.#shared.store?.model.tree.actors.get(key)?.name ??
      record.name ??
      record.machine
    );
  }

  /** One lifeline for each kind of machine of a process: ten thousand readers are one. */
  #findLanes() {
    let isNew = false;
    /** @type {Map<string, Lane>} */
    const known = new Map(this.#lanes.map((lane) => [lane.key, lane]));
    const start =
      this.#lanes.length === 0 ? 0 : Math.max(0, this.#listed.length - 5_000);
    for (let at = start; at < this.#listed.length; at++) {
      const record = this.#listed[at]?.record;
      if (!record || record.machine === "") continue;
      const from = this.#sender(record);
      const keys = [
        this.#laneKey(record),
        from ? laneKey(from.process, from.machine) : "",
      ];
      for (const key of keys) {
        const [process = "", label = ""] = key.split("/");
        if (known.has(key) || !this.#isMachine(process, label)) continue;
        known.set(key, { key, label, process });
        isNew = true;
      }
    }
    if (!isNew) return;
    this.#lanes = [...known.values()].sort(byPlace);
    this.#laneOf = new Map(this.#lanes.map(({ key }, at) => [key, at]));
    setStyle(this.#scroll, "--lanes", String(this.#lanes.length));
    replace(
      this.#heads,
      h("span", { class: "lane-time" }, "Time"),
      this.#lanes.map(({ label, process }, at) => {
        const isFirst = at === 0 || this.#lanes[at - 1]?.process !== process;
        return h(
          "span",
          { class: `lane-head p-${process}`, title: `${process}: ${label}` },
          h("b", {}, isFirst ? process : ""),
          h("span", {}, laneNames[label] ?? words(label)),
        );
      }),
    );
  }

  /** @param {ModelRecord} record */
  #sender({ from, process, thread }) {
    if (from === undefined) return null;
    return (
      this.#shared.store?.model.tree.actors.get(
        `${process}/${thread}/${from}`,
      ) ?? null
    );
  }

  /**
   * @param {HTMLElement} row
   * @param {Numbered} item
   */
  #updateRow(row, { sequence, record }) {
    const { store } = this.#shared;
    const [time, area] = /** @type {HTMLElement[]} */ ([...row.children]);
    const [arrow, mark, label] = /** @type {HTMLElement[]} */ ([
      ...(area?.children ?? []),
    ]);
    if (!time || !area || !arrow || !mark || !label || !store) return;
    const isAhead = !store.isFollowing && sequence >= store.position;
    const isHere = !store.isFollowing && sequence === store.position - 1;
    setAttribute(
      row,
      "class",
      `seq-row vrow${isAhead ? " ahead" : ""}${isHere ? " here" : ""}${sequence === this.#chosen ? " chosen" : ""}`,
    );
    setText(time, clock(record.at));
    const to = this.#laneOf.get(this.#laneKey(record)) ?? -1;
    const sender = record.kind === "event" ? this.#sender(record) : null;
    const from = sender
      ? (this.#laneOf.get(laneKey(sender.process, sender.machine)) ?? -1)
      : -1;
    const isArrow = record.kind === "event" && from >= 0 && from !== to;
    setStyle(area, "--to", String(Math.max(0, to)));
    setStyle(area, "--left", String(Math.min(from, to)));
    setStyle(area, "--span", String(Math.abs(from - to)));
    setAttribute(
      arrow,
      "class",
      `arrow-line${isArrow ? (from < to ? " right" : " left") : " none"}`,
    );
    const state = (record.state ?? "").startsWith("{")
      ? flat(record.state ?? "")
      : (record.state ?? "");
    const tone =
      record.kind === "state"
        ? toneOf(state)
        : record.kind === "stopped"
          ? record.state === "error"
            ? "bad"
            : "over"
          : record.kind;
    setAttribute(
      mark,
      "class",
      `mark ${record.kind} ${tone}${to < 0 ? " none" : ""}`,
    );
    const name = this.#nameOf(record);
    setAttribute(
      label,
      "data-lane",
      record.machine === ""
        ? record.process
        : record.machine === "channel"
          ? `${record.process} channel`
          : words(record.machine),
    );
    const isLate = to > (this.#lanes.length - 1) * 0.62;
    const anchor = isArrow ? Math.max(from, to) : to;
    const leftEdge = isArrow ? Math.min(from, to) : to;
    const goesLeft = isLate && leftEdge > 1;
    setStyle(area, "--label", String(goesLeft ? leftEdge : anchor));
    setAttribute(
      label,
      "class",
      `seq-label ${record.kind}${goesLeft ? " to-left" : ""}`,
    );
    const text =
      record.kind === "event"
        ? eventName(record.event ?? "")
        : record.kind === "state"
          ? words(state.replaceAll(".", " · "))
          : record.kind === "actor"
            ? "begins"
            : record.kind === "stopped"
              ? `ends (${record.state ?? ""})`
              : record.kind === "dropped"
                ? `${count(record.count ?? 0)} records were left out here`
                : describeFigures(record);
    setText(/** @type {Node} */ (label.children[0]), text);
    setText(
      /** @type {Node} */ (label.children[1]),
      record.machine === "" || name === record.machine ? "" : name,
    );
    setAttribute(
      row,
      "aria-label",
      `${clock(record.at)} ${sender ? `${sender.name} to ` : ""}${name}: ${record.kind} ${text}`,
    );
  }

  /** @param {Numbered} item */
  #choose({ sequence, record }) {
    const { store, showActor } = this.#shared;
    this.#chosen = sequence;
    if (store && !store.isFollowing) void store.seek(sequence + 1);
    const key = `${record.process}/${record.thread}/${record.actor}`;
    const actor = store?.model.tree.actors.get(key);
    this.#detail.hidden = false;
    replace(
      this.#detail,
      h(
        "div",
        { class: "panel-head" },
        h("h3", {}, `Record ${count(sequence + 1)}`),
        h("span", { class: "grow" }),
        store?.isFollowing &&
          h(
            "button",
            { onclick: () => void store.seek(sequence + 1) },
            "Stand here",
          ),
        actor &&
          h("button", { onclick: () => showActor(key) }, `Show ${actor.name}`),
        h(
          "button",
          {
            class: "icon-button",
            "aria-label": "Close",
            onclick: () => {
              this.#detail.hidden = true;
              this.#chosen = -1;
              this.update();
            },
          },
          "✕",
        ),
      ),
      h(
        "pre",
        { class: "sql", tabindex: "0" },
        JSON.stringify(record, null, 2),
      ),
    );
    this.#list.render();
  }
}

function createRow() {
  return h(
    "div",
    { class: "seq-row" },
    h("span", { class: "seq-time num", role: "gridcell" }),
    h(
      "span",
      { class: "seq-area", role: "gridcell" },
      h("i", { class: "arrow-line" }),
      h("i", { class: "mark" }),
      h(
        "span",
        { class: "seq-label" },
        h("b", {}),
        h("span", { class: "seq-name mono" }),
      ),
    ),
  );
}

/**
 * @param {string} process
 * @param {string} machine
 */
function laneKey(process, machine) {
  return `${process}/${machine}`;
}

/**
 * @param {Lane} a
 * @param {Lane} b
 */
function byPlace(a, b) {
  const process =
    processOrder.indexOf(a.process) - processOrder.indexOf(b.process);
  if (process !== 0) return process;
  const place = (/** @type {Lane} */ lane) => {
    const at = machineOrder.indexOf(lane.label);
    return at < 0 ? machineOrder.length : at;
  };
  return place(a) - place(b) || a.label.localeCompare(b.label);
}

/** @param {string} state */
function flat(state) {
  return state.replace(/[{}"]/g, "").replaceAll(":", ".");
}

/** @param {ModelRecord} record */
function describeFigures({ figures }) {
  switch (figures?.type) {
    case "checkpoint":
      return `checkpoint ${figures.index} of stream ${figures.stream} ${figures.step}`;
    case "progress":
      return `${count(figures.partitions.length)} partitions moved on`;
    case "plan":
      return `${figures.name}: ${count(figures.partitions.length)} partitions`;
    case "statement":
      return `statement of partition ${figures.stream}/${figures.partition}`;
    case "run":
      return `run ${figures.state}`;
    default:
      return "";
  }
}

/**
 * @param {readonly Numbered[]} listed
 * @param {number} sequence
 */
function lastAtOrBefore(listed, sequence) {
  let low = 0;
  let high = listed.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((listed[middle]?.sequence ?? 0) <= sequence) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
