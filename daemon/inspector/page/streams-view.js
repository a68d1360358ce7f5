/** Streams, and the partitions of each as bars: how far, how fast, where. */
import {
  colourOf,
  h,
  prepareCanvas,
  replace,
  setAttribute,
  setStyle,
  setText,
} from "./dom.js";
import {
  bytes,
  count,
  duration,
  percent,
  short,
  toneOf,
  words,
} from "./format.js";
import { VirtualList } from "./virtual-list.js";

/** @typedef {import("./views.js").Shared} Shared */
/** @typedef {import("../model/progress.ts").PartitionView} PartitionView */
/** @typedef {import("../model/progress.ts").StreamView} StreamView */

const partitionTones = /** @type {const} */ ({
  waiting: "wait",
  reading: "work",
  sealing: "seal",
  again: "held",
  done: "good",
  stopped: "held",
  failed: "bad",
});

const filters = /** @type {const} */ ([
  ["all", "All"],
  ["busy", "At work"],
  ["waiting", "Waiting"],
  ["done", "Done"],
  ["bad", "Trouble"],
]);

export class StreamsView {
  name = "streams";
  title = "Streams";
  /** @type {HTMLElement} */
  element;
  #shared;
  /** @type {number | null} */
  #stream = null;
  /** @type {typeof filters[number][0]} */
  #filter = "all";
  #search = "";
  /** @type {PartitionView | null} */
  #chosen = null;
  /** @type {VirtualList<StreamView>} */
  #streams;
  /** @type {VirtualList<PartitionView>} */
  #partitions;
  #strip = h("canvas", {
    class: "strip",
    role: "img",
    "aria-label": "All partitions of this stream, each a cell",
  });
  #stripLegend = h("p", { class: "legend" });
  #title = h("h2", {});
  #reason = h("p", { class: "muted small" });
  #detail = h("section", {
    class: "partition-detail",
    "aria-label": "Partition",
    hidden: true,
  });
  #count = h("span", { class: "muted num small" });
  /** @type {Map<string, HTMLButtonElement>} */
  #filterButtons = new Map();
  #empty = h("p", { class: "empty" });

  /** @param {Shared} shared */
  constructor(shared) {
    this.#shared = shared;
    this.#streams = new VirtualList({
      label: "Streams",
      role: "listbox",
      rowRole: "option",
      rowHeight: 64,
      createRow: createStreamRow,
      updateRow: (row, item) =>
        updateStreamRow(row, item, item.stream === this.#stream),
      onChoose: (item) => {
        this.#stream = item.stream;
        this.#chosen = null;
        this.#partitions.element.scrollTop = 0;
        this.update();
      },
    });
    this.#partitions = new VirtualList({
      label: "Partitions",
      role: "grid",
      rowRole: "row",
      rowHeight: 34,
      createRow: createPartitionRow,
      updateRow: (row, item) =>
        updatePartitionRow(row, item, item === this.#chosen),
      onChoose: (item) => {
        this.#chosen = item;
        this.update();
      },
    });
    this.element = this.#build();
    this.#strip.addEventListener("click", (event) => this.#pick(event));
  }

  #build() {
    const search = h("input", {
      type: "search",
      placeholder: "Range, key, state or number",
      "aria-label": "Search partitions",
      oninput: () => {
        this.#search = search.value.trim().toLowerCase();
        this.update();
      },
    });
    const chips = h("div", {
      class: "filter",
      role: "group",
      "aria-label": "Show",
    });
    for (const [key, label] of filters) {
      const button = h(
        "button",
        {
          "aria-pressed": String(key === this.#filter),
          onclick: () => {
            this.#filter = key;
            this.update();
          },
        },
        label,
      );
      this.#filterButtons.set(key, button);
      chips.append(button);
    }
    return h(
      "div",
      { class: "streams" },
      h(
        "section",
        { class: "panel streams-list", "aria-label": "Streams" },
        this.#streams.element,
      ),
      h(
        "section",
        { class: "panel partitions", "aria-label": "Partitions" },
        h(
          "div",
          { class: "panel-head" },
          h("div", { class: "grow" }, this.#title, this.#reason),
          this.#count,
        ),
        this.#strip,
        this.#stripLegend,
        h("div", { class: "tools" }, chips, search),
        h(
          "div",
          { class: "partition-row table-head", "aria-hidden": "true" },
          [
            "#",
            "State",
            "Progress",
            "Rows",
            "Rate",
            "Durable up to, or range",
            "Socket",
          ].map((label, at) => h("span", { class: `c${at}` }, label)),
        ),
        this.#partitions.element,
        this.#empty,
        this.#detail,
      ),
    );
  }

  reset() {
    this.#stream = null;
    this.#chosen = null;
  }

  themeChanged() {
    this.#drawStrip([]);
  }

  update() {
    const { store } = this.#shared;
    if (!store) return;
    const { progress } = store.model;
    const streams = [...progress.streams.values()].sort(byInterest);
    const known = this.#stream !== null && progress.streams.has(this.#stream);
    if (!known) this.#stream = streams[0]?.stream ?? null;
    this.#streams.active = streams.findIndex(
      ({ stream }) => stream === this.#stream,
    );
    this.#streams.setItems(streams);
    const all = [];
    for (const partition of progress.partitions.values())
      if (partition.stream === this.#stream) all.push(partition);
    all.sort((a, b) => a.ordinal - b.ordinal);
    const stream =
      this.#stream === null ? null : progress.streams.get(this.#stream);
    setText(this.#title, stream?.name ?? "No stream yet");
    setText(this.#reason, stream?.reason ?? "");
    this.#drawStrip(all);
    this.#showLegend(all);
    const shown = all.filter((partition) => this.#isWanted(partition));
    setText(
      this.#count,
      shown.length === all.length
        ? `${count(all.length)} partitions`
        : `${count(shown.length)} of ${count(all.length)}`,
    );
    for (const [key, button] of this.#filterButtons)
      setAttribute(button, "aria-pressed", String(key === this.#filter));
    if (this.#chosen)
      this.#chosen =
        progress.partitions.get(
          `${this.#chosen.stream}/${this.#chosen.ordinal}`,
        ) ?? null;
    this.#partitions.active = this.#chosen ? shown.indexOf(this.#chosen) : -1;
    this.#partitions.setItems(shown);
    this.#empty.hidden = shown.length > 0;
    setText(
      this.#empty,
      all.length > 0
        ? "No partition is like this. Choose All, or clear the search."
        : "Partitions appear when this stream is planned.",
    );
    this.#showDetail();
  }

  /** @param {PartitionView} partition */
  #isWanted(partition) {
    const { state } = partition;
    const isOfKind =
      this.#filter === "all" ||
      (this.#filter === "busy" &&
        (state === "reading" || state === "sealing")) ||
      (this.#filter === "bad" &&
        (state === "failed" || state === "again" || state === "stopped")) ||
      state === this.#filter;
    if (!isOfKind || this.#search === "") return isOfKind;
    const { ordinal, range, position } = partition;
    return `#${ordinal} ${state} ${range} ${position ?? ""}`
      .toLowerCase()
      .includes(this.#search);
  }

  /** @param {readonly PartitionView[]} all */
  #showLegend(all) {
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const { state } of all)
      counts.set(state, (counts.get(state) ?? 0) + 1);
    const text = [...counts].map(([state, n]) => `${state}:${n}`).join();
    if (this.#stripLegend.dataset["text"] === text) return;
    this.#stripLegend.dataset["text"] = text;
    replace(
      this.#stripLegend,
      Object.entries(partitionTones).flatMap(([state, tone]) => {
        const n = counts.get(state);
        if (n === undefined) return [];
        return [
          h(
            "span",
            { class: "legend-item" },
            h("i", { class: `swatch ${tone}` }),
            `${state} `,
            h("b", { class: "num" }, count(n)),
          ),
        ];
      }),
    );
  }

  /** @param {readonly PartitionView[]} all */
  #drawStrip(all) {
    const prepared = prepareCanvas(this.#strip);
    if (!prepared) return;
    const { context, width, height } = prepared;
    const n = all.length;
    if (n === 0) return;
    const columns = Math.min(n, Math.max(1, Math.floor(width / 3)));
    const perColumn = n / columns;
    const cell = width / columns;
    const gap = cell >= 6 ? 1 : 0;
    for (let column = 0; column < columns; column++) {
      const from = Math.floor(column * perColumn);
      const until = Math.max(from + 1, Math.floor((column + 1) * perColumn));
      let filled = 0;
      /** @type {PartitionView | undefined} */
      let loudest;
      for (let at = from; at < until; at++) {
        const one = all[at];
        if (!one) continue;
        filled += shareOf(one).read;
        if (!loudest || loudness(one) > loudness(loudest)) loudest = one;
      }
      filled /= until - from;
      if (!loudest) continue;
      const tone = partitionTones[loudest.state];
      const x = column * cell;
      context.fillStyle = colourOf("--track");
      context.fillRect(x, 0, cell - gap, height);
      context.fillStyle = colourOf(`--tone-${tone}`);
      const top = height * (1 - Math.max(filled, tone === "wait" ? 0 : 0.08));
      context.fillRect(x, top, cell - gap, height - top);
    }
  }

  /** @param {MouseEvent} event */
  #pick(event) {
    const { items } = this.#partitions;
    const share = event.offsetX / Math.max(1, this.#strip.clientWidth);
    const index = Math.min(items.length - 1, Math.floor(share * items.length));
    const item = items[index];
    if (!item) return;
    this.#chosen = item;
    this.#partitions.setActive(index);
    this.update();
  }

  #showDetail() {
    const chosen = this.#chosen;
    this.#detail.hidden = chosen === null;
    if (!chosen) return;
    const { store, showActor } = this.#shared;
    const now = store?.now ?? 0;
    const took =
      chosen.startedAt === null
        ? "–"
        : duration((chosen.endedAt ?? now) - chosen.startedAt);
    const reader = findReader(this.#shared, chosen);
    const text = [
      chosen.stream,
      chosen.ordinal,
      chosen.state,
      chosen.rows,
      chosen.sql,
      Math.floor(now / 1000),
      reader?.key,
    ].join();
    if (this.#detail.dataset["text"] === text) return;
    this.#detail.dataset["text"] = text;
    replace(
      this.#detail,
      h(
        "div",
        { class: "panel-head" },
        h("h3", {}, `Partition ${chosen.ordinal}`),
        h(
          "span",
          { class: `chip ${partitionTones[chosen.state]}` },
          words(chosen.state),
        ),
        h("span", { class: "grow" }),
        reader &&
          h(
            "button",
            { onclick: () => showActor(reader.key) },
            "Show its reader",
          ),
        h(
          "button",
          {
            class: "icon-button",
            "aria-label": "Close",
            onclick: () => {
              this.#chosen = null;
              this.update();
            },
          },
          "✕",
        ),
      ),
      h(
        "dl",
        { class: "facts" },
        fact("Range", chosen.range || "–", true),
        fact(
          "Durable up to",
          chosen.position ?? (chosen.state === "done" ? "its end" : "–"),
          true,
        ),
        fact(
          "Rows",
          `${count(chosen.rows)} read, ${count(chosen.rowsDurable)} durable, ~${count(chosen.rowsPlanned)} planned`,
        ),
        fact(
          "Bytes",
          `${bytes(chosen.bytes)} read, ~${bytes(chosen.bytesPlanned)} planned`,
        ),
        fact("Time", took),
        fact("Attempt", String(chosen.attempt)),
      ),
      h("h4", {}, "Asked of the server"),
      h(
        "pre",
        { class: "sql", tabindex: "0" },
        chosen.sql ? formatSql(chosen.sql) : "Told when the partition is read.",
      ),
    );
  }
}

/**
 * @param {Shared} shared
 * @param {PartitionView} partition
 */
function findReader({ store }, { stream, ordinal }) {
  const name = `reader:${stream}/${ordinal}`;
  for (const actor of store?.model.tree.actors.values() ?? [])
    if (actor.name === name) return actor;
  return null;
}

/**
 * @param {string} name
 * @param {string} value
 * @param {boolean} [isMono]
 */
function fact(name, value, isMono = false) {
  return h(
    "div",
    {},
    h("dt", {}, name),
    h("dd", { class: isMono ? "mono" : "num" }, value),
  );
}

/** @param {string} sql */
export function formatSql(sql) {
  return sql.replace(/ (FROM|WHERE|AND|ORDER BY|LIMIT) /g, "\n$1 ");
}

/** @param {PartitionView} partition */
function shareOf({ state, rows, rowsDurable, rowsPlanned }) {
  if (state === "done") return { read: 1, durable: 1 };
  const base = Math.max(rowsPlanned, rows, rowsDurable, 1);
  return {
    read: Math.max(rows, rowsDurable) / base,
    durable: rowsDurable / base,
  };
}

/** @param {PartitionView} partition */
function loudness({ state }) {
  return {
    done: 0,
    waiting: 1,
    stopped: 2,
    sealing: 3,
    reading: 4,
    again: 5,
    failed: 6,
  }[state];
}

/**
 * What is at work first, then what failed, then by name.
 * @param {StreamView} a
 * @param {StreamView} b
 */
function byInterest(a, b) {
  return (
    Number(b.partitionsReading > 0) - Number(a.partitionsReading > 0) ||
    Number(toneOf(b.state) === "bad") - Number(toneOf(a.state) === "bad") ||
    a.stream - b.stream
  );
}

function createStreamRow() {
  return h(
    "div",
    { class: "stream-row" },
    h("span", { class: "stream-name" }),
    h("span", { class: "chip small-chip" }),
    h(
      "span",
      { class: "meter" },
      h("i", { class: "read" }),
      h("i", { class: "durable" }),
    ),
    h("span", { class: "stream-sub num" }),
  );
}

/**
 * @param {HTMLElement} row
 * @param {StreamView} stream
 * @param {boolean} isChosen
 */
function updateStreamRow(row, stream, isChosen) {
  const [name, chip, meter, sub] = /** @type {HTMLElement[]} */ ([
    ...row.children,
  ]);
  if (!name || !chip || !meter || !sub) return;
  setAttribute(row, "class", `stream-row vrow${isChosen ? " chosen" : ""}`);
  setText(name, stream.name);
  name.title = stream.name;
  const state = stream.state || "waiting";
  setText(chip, words(state));
  setAttribute(chip, "class", `chip small-chip ${toneOf(state)}`);
  const isDone =
    stream.partitions > 0 && stream.partitionsDone === stream.partitions;
  const read = Math.max(stream.rows, stream.rowsDurable);
  const base = Math.max(stream.rowsPlanned, read, 1);
  setStyle(meter, "--read", String(isDone ? 1 : read / base));
  setStyle(meter, "--durable", String(isDone ? 1 : stream.rowsDurable / base));
  setText(
    sub,
    `${short(stream.rowsDurable)} rows · ${count(stream.partitionsDone)} of ${count(stream.partitions)}${stream.partitionsReading > 0 ? ` · ${stream.partitionsReading} reading` : ""}`,
  );
}

function createPartitionRow() {
  return h(
    "div",
    { class: "partition-row" },
    h("span", { class: "c0 num", role: "gridcell" }),
    h(
      "span",
      { class: "c1", role: "gridcell" },
      h("i", { class: "dot" }),
      h("span", {}),
    ),
    h(
      "span",
      { class: "c2", role: "gridcell" },
      h(
        "span",
        { class: "meter" },
        h("i", { class: "read" }),
        h("i", { class: "durable" }),
      ),
      h("span", { class: "num meter-text" }),
    ),
    h("span", { class: "c3 num", role: "gridcell" }),
    h("span", { class: "c4 num", role: "gridcell" }),
    h("span", { class: "c5 mono", role: "gridcell" }),
    h("span", { class: "c6 num", role: "gridcell" }),
  );
}

/**
 * @param {HTMLElement} row
 * @param {PartitionView} partition
 * @param {boolean} isChosen
 */
function updatePartitionRow(row, partition, isChosen) {
  const cells = /** @type {HTMLElement[]} */ ([...row.children]);
  const [number, state, progress, rows, rate, key, socket] = cells;
  if (!number || !state || !progress || !rows || !rate || !key || !socket)
    return;
  setAttribute(row, "class", `partition-row vrow${isChosen ? " chosen" : ""}`);
  const tone = partitionTones[partition.state];
  setText(number, String(partition.ordinal));
  setAttribute(
    /** @type {Element} */ (state.children[0]),
    "class",
    `dot ${tone}`,
  );
  setText(
    /** @type {Node} */ (state.children[1]),
    words(partition.state) +
      (partition.attempt > 1 ? ` (try ${partition.attempt})` : ""),
  );
  const share = shareOf(partition);
  const meter = /** @type {HTMLElement} */ (progress.children[0]);
  setStyle(meter, "--read", share.read.toFixed(4));
  setStyle(meter, "--durable", share.durable.toFixed(4));
  setText(/** @type {Node} */ (progress.children[1]), percent(share.read));
  setText(rows, count(Math.max(partition.rows, partition.rowsDurable)));
  setText(
    rate,
    partition.state === "reading" && partition.rate > 0
      ? `${short(partition.rate)}/s`
      : "",
  );
  const { position } = partition;
  const place = position === null ? partition.range : `≤ ${position}`;
  setText(key, place);
  setText(socket, partition.channel === null ? "" : String(partition.channel));
}
