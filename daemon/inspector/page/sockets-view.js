/** The sockets: what flows through each, and who waits for whom. */
import {
  colourOf,
  h,
  prepareCanvas,
  replace,
  setAttribute,
  setStyle,
  setText,
} from "./dom.js";
import { bytes, duration, percent, short, toneOf, words } from "./format.js";
import { SAMPLE_MS, SAMPLES_MAX } from "../model/progress.ts";

/** @typedef {import("./views.js").Shared} Shared */
/** @typedef {import("../model/progress.ts").ChannelView} ChannelView */

export class SocketsView {
  name = "sockets";
  title = "Sockets";
  /** @type {HTMLElement} */
  element;
  #shared;
  #grid = h("div", { class: "sockets" });
  #empty = h(
    "p",
    { class: "empty" },
    "Sockets appear when the two processes connect.",
  );
  /** @type {Map<number, SocketCard>} */
  #cards = new Map();

  /** @param {Shared} shared */
  constructor(shared) {
    this.#shared = shared;
    this.element = h(
      "div",
      { class: "sockets-view" },
      h(
        "p",
        { class: "explain" },
        "A socket moves rows from a reader to a writer. ",
        h("i", { class: "swatch held" }),
        "source held up: the destination takes rows too slowly. ",
        h("i", { class: "swatch seal" }),
        "destination sealing: files are being made durable before more is taken.",
      ),
      this.#grid,
      this.#empty,
    );
  }

  reset() {
    this.#cards.clear();
    replace(this.#grid);
  }

  themeChanged() {}

  update() {
    const { store } = this.#shared;
    if (!store) return;
    const channels = [...store.model.progress.channels.values()].sort(
      (a, b) => a.channel - b.channel,
    );
    this.#empty.hidden = channels.length > 0;
    for (const channel of channels) {
      let card = this.#cards.get(channel.channel);
      if (!card) {
        card = new SocketCard(channel.channel);
        this.#cards.set(channel.channel, card);
        this.#grid.append(card.element);
      }
      card.update(channel, store);
    }
    for (const [number, card] of this.#cards)
      if (!store.model.progress.channels.has(number)) {
        card.element.remove();
        this.#cards.delete(number);
      }
  }
}

class SocketCard {
  #rate = h("span", { class: "socket-rate num" });
  #reading = h("span", { class: "muted socket-reading" });
  #source = h("span", { class: "chip small-chip" });
  #destination = h("span", { class: "chip small-chip" });
  #canvas = h("canvas", { class: "spark", role: "img" });
  #totals = h("span", { class: "num muted" });
  #pressure = h(
    "div",
    { class: "pressure" },
    h("i", { class: "p-flow" }),
    h("i", { class: "p-held" }),
    h("i", { class: "p-seal" }),
  );
  #pressureText = h("p", { class: "num small pressure-text" });
  /** @type {HTMLElement} */
  element;

  /** @param {number} channel */
  constructor(channel) {
    this.element = h(
      "article",
      { class: "panel socket", "aria-label": `Socket ${channel}` },
      h(
        "div",
        { class: "panel-head" },
        h("h2", {}, `Socket ${channel}`),
        h("span", { class: "grow" }),
        this.#rate,
      ),
      h(
        "div",
        { class: "socket-ends" },
        h(
          "span",
          { class: "end" },
          h("span", { class: "end-name" }, "source"),
          this.#source,
        ),
        h("span", { class: "flow", "aria-hidden": "true" }),
        h(
          "span",
          { class: "end" },
          h("span", { class: "end-name" }, "destination"),
          this.#destination,
        ),
      ),
      this.#canvas,
      h("div", { class: "row between" }, this.#reading, this.#totals),
      this.#pressure,
      this.#pressureText,
    );
  }

  /**
   * @param {ChannelView} view
   * @param {import("./store.js").RunStore} store
   */
  update(view, store) {
    const { now, model } = store;
    const slot = Math.floor(now / SAMPLE_MS);
    // what has not been told yet is no silence: the last full second counts
    const behind = Math.max(0, slot - view.slot);
    const samples = [
      ...view.samples,
      ...Array(Math.min(SAMPLES_MAX, behind)).fill(0),
    ].slice(-SAMPLES_MAX);
    const recent = behind > 4 ? [] : view.samples.slice(-5, -1);
    const rate =
      recent.reduce((sum, one) => sum + one, 0) /
      Math.max(1, recent.length) /
      (SAMPLE_MS / 1000);
    setText(this.#rate, `${bytes(rate)}/s`);
    const [stream, partition] = (view.reading ?? "").split("/");
    const name = model.progress.streams.get(Number(stream))?.name;
    setText(
      this.#reading,
      view.source.startsWith("reading") && name
        ? `${name} · partition ${partition}`
        : "no partition",
    );
    setText(this.#totals, `${bytes(view.bytes)} · ${short(view.rows)} rows`);
    chip(this.#source, view.source);
    chip(this.#destination, view.destination);
    const open = Math.max(1, now - view.openSince);
    const held =
      view.pausedMs + (view.pausedSince === null ? 0 : now - view.pausedSince);
    const sealing =
      view.heldMs + (view.heldSince === null ? 0 : now - view.heldSince);
    setStyle(this.#pressure, "--held", String(Math.min(1, held / open)));
    setStyle(this.#pressure, "--seal", String(Math.min(1, sealing / open)));
    setText(
      this.#pressureText,
      held + sealing < 1
        ? `flowing freely for ${duration(open)}`
        : `held up ${percent(held / open)} (${duration(held)}), sealing ${percent(sealing / open)} (${duration(sealing)})`,
    );
    setAttribute(
      this.element,
      "data-tone",
      view.pausedSince !== null
        ? "held"
        : view.heldSince !== null
          ? "seal"
          : "work",
    );
    this.#draw(samples);
  }

  /** @param {readonly number[]} samples */
  #draw(samples) {
    const prepared = prepareCanvas(this.#canvas);
    if (!prepared) return;
    const { context, width, height } = prepared;
    const most = Math.max(1, ...samples);
    const step = width / SAMPLES_MAX;
    context.fillStyle = colourOf("--line");
    context.fillRect(0, height - 1, width, 1);
    if (samples.length === 0) return;
    const start = width - samples.length * step;
    const y = (/** @type {number} */ value) =>
      height - 1 - (value / most) * (height - 6);
    context.beginPath();
    context.moveTo(start, height - 1);
    samples.forEach((value, at) =>
      context.lineTo(start + (at + 0.5) * step, y(value)),
    );
    context.lineTo(width, height - 1);
    context.closePath();
    context.fillStyle = colourOf("--spark-fill");
    context.fill();
    context.beginPath();
    samples.forEach((value, at) => {
      const x = start + (at + 0.5) * step;
      if (at === 0) context.moveTo(x, y(value));
      else context.lineTo(x, y(value));
    });
    context.strokeStyle = colourOf("--accent");
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.stroke();
    this.#canvas.setAttribute(
      "aria-label",
      `Throughput of the last minute, ${bytes(most / (SAMPLE_MS / 1000))} a second at most`,
    );
  }
}

/**
 * @param {HTMLElement} element
 * @param {string} state
 */
function chip(element, state) {
  setText(
    element,
    state === "" ? "not there yet" : words(state.split(".").at(-1) ?? state),
  );
  setAttribute(element, "class", `chip small-chip ${toneOf(state)}`);
}
