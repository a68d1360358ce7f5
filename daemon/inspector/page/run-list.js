/** The runs, live ones first, with a filter. */
import { h, setAttribute, setText } from "./dom.js";
import { duration, moment, short, toneOf, words } from "./format.js";
import { VirtualList } from "./virtual-list.js";

/** @typedef {import("../model/listed-run.ts").ListedRun} ListedRun */

export class RunList {
  /** @type {HTMLElement} */
  element;
  /** @type {readonly ListedRun[]} */
  #runs = [];
  /** @type {string | null} */
  #chosen = null;
  #filter = "";
  /** @type {VirtualList<ListedRun>} */
  #list;
  #count = h("span", { class: "muted num" });
  #offline = h(
    "p",
    { class: "offline", role: "status", hidden: true },
    "The daemon does not answer. Trying again…",
  );

  /** @param {(run: string) => void} onChoose */
  constructor(onChoose) {
    this.#list = new VirtualList({
      label: "Runs",
      role: "listbox",
      rowRole: "option",
      rowHeight: 58,
      createRow,
      updateRow: (row, run) => updateRow(row, run, run.runId === this.#chosen),
      onChoose: (run) => onChoose(run.runId),
    });
    const search = h("input", {
      type: "search",
      placeholder: "Filter by sync, run or state",
      "aria-label": "Filter runs",
      oninput: () => {
        this.#filter = search.value.trim().toLowerCase();
        this.#show();
      },
    });
    this.element = h(
      "div",
      { class: "runs" },
      h("div", { class: "side-head" }, h("h2", {}, "Runs"), this.#count),
      search,
      this.#offline,
      this.#list.element,
    );
  }

  get newest() {
    return this.#runs[0]?.runId ?? null;
  }

  /** @param {string} runId */
  find(runId) {
    return this.#runs.find((run) => run.runId === runId) ?? null;
  }

  focus() {
    this.#list.element.focus();
  }

  /** @param {readonly ListedRun[]} runs */
  setRuns(runs) {
    this.#runs = runs;
    this.#show();
  }

  /** @param {boolean} isConnected */
  setConnected(isConnected) {
    this.#offline.hidden = isConnected;
  }

  /** @param {string} runId */
  setChosen(runId) {
    this.#chosen = runId;
    this.#show();
  }

  #show() {
    const shown = this.#runs.filter((run) =>
      `${run.runId} ${run.sync ?? ""} ${run.state} ${run.isLive ? "live" : ""}`
        .toLowerCase()
        .includes(this.#filter),
    );
    const live = shown.filter(({ isLive }) => isLive).length;
    setText(
      this.#count,
      live > 0 ? `${live} live of ${shown.length}` : `${shown.length}`,
    );
    this.#list.active = shown.findIndex((run) => run.runId === this.#chosen);
    this.#list.setItems(shown);
  }
}

function createRow() {
  return h(
    "div",
    { class: "run-row" },
    h("span", { class: "dot" }),
    h(
      "span",
      { class: "run-main" },
      h("span", { class: "run-name" }),
      h("span", { class: "run-sub num" }),
    ),
    h("span", { class: "run-state" }),
  );
}

/**
 * @param {HTMLElement} row
 * @param {ListedRun} run
 * @param {boolean} isChosen
 */
function updateRow(row, run, isChosen) {
  const [dot, main, state] = row.children;
  if (!dot || !main || !state) return;
  const tone =
    run.isLive && toneOf(run.state) === "good" ? "work" : toneOf(run.state);
  setAttribute(dot, "class", `dot ${tone}${run.isLive ? " live" : ""}`);
  setAttribute(row, "class", `run-row vrow${isChosen ? " chosen" : ""}`);
  setAttribute(row, "title", run.runId);
  setText(/** @type {Node} */ (main.children[0]), run.sync ?? run.runId);
  setText(state, words(run.state.split(".").at(-1) ?? ""));
  const parts = [moment(run.startedAt)];
  if (run.startedAt !== null && run.endedAt !== null)
    parts.push(duration(run.endedAt - run.startedAt));
  if (run.rows !== null) parts.push(`${short(run.rows)} rows`);
  setText(/** @type {Node} */ (main.children[1]), parts.join(" · "));
}
