/** What the run is, how it stands, and what can be done to it. */
import { h, setAttribute, setStyle, setText } from "./dom.js";
import {
  bytes,
  count,
  duration,
  percent,
  short,
  toneOf,
  words,
} from "./format.js";
import { OrderButtons } from "./orders.js";

/** @typedef {import("./views.js").Shared} Shared */

export class Header {
  /** @type {HTMLElement} */
  element;
  #shared;
  #name = h("h1", { class: "run-title" });
  #id = h("span", { class: "mono muted run-id" });
  #state = h("span", { class: "chip" });
  #mode = h("span", { class: "chip quiet" });
  #architecture = h("p", { class: "muted run-architecture" });
  #error = h("p", { class: "run-error", role: "alert", hidden: true });
  #bar = h(
    "div",
    { class: "run-bar" },
    h("i", { class: "read" }),
    h("i", { class: "durable" }),
  );
  /** @type {Map<string, { value: HTMLElement, note: HTMLElement }>} */
  #figures = new Map();
  #orders;
  #log = h("div", {});
  #rate = { at: 0, rows: 0, bytes: 0, perSecond: 0, bytesPerSecond: 0 };

  /** @param {Shared} shared */
  constructor(shared) {
    this.#shared = shared;
    this.#orders = new OrderButtons(shared, () => null);
    const figures = h("dl", { class: "figures" });
    for (const [key, label] of [
      ["durable", "Rows durable"],
      ["read", "Rows read"],
      ["rate", "Rate"],
      ["partitions", "Partitions"],
      ["sockets", "Sockets"],
      ["actors", "Actors"],
      ["time", "Elapsed"],
      ["log", "Behind the log"],
    ]) {
      const value = h("span", { class: "figure-value num" }, "–");
      const note = h("span", { class: "figure-note num" });
      this.#figures.set(key ?? "", { value, note });
      const figure = h(
        "div",
        { class: `figure-${key}` },
        h("dt", {}, label),
        h("dd", {}, value, note),
      );
      if (key === "log") this.#log = figure;
      figures.append(figure);
    }
    this.#log.hidden = true;
    this.element = h(
      "section",
      { class: "run-head", "aria-label": "Run" },
      h(
        "div",
        { class: "run-head-line" },
        h(
          "div",
          { class: "run-head-name" },
          h("div", { class: "row wrap" }, this.#name, this.#state, this.#mode),
          this.#id,
        ),
        this.#orders.element,
      ),
      this.#architecture,
      this.#error,
      figures,
      this.#bar,
    );
  }

  update() {
    const { store, run } = this.#shared;
    if (!store) return;
    const { model } = store;
    const state = model.run.state || run?.state || "starting";
    setText(this.#name, model.run.sync ?? run?.sync ?? "Sync");
    setText(
      this.#id,
      `${store.runId}${model.run.epoch > 1 ? ` · attempt ${model.run.epoch}` : ""}`,
    );
    const { architecture } = model.run;
    setText(this.#architecture, architecture.join(" · "));
    this.#architecture.hidden = architecture.length === 0;
    setText(this.#state, words(state.replaceAll(".", " · ")));
    setAttribute(this.#state, "class", `chip ${toneOf(state)}`);
    const mode = !store.isFollowing
      ? "standing still"
      : store.connection === "lost"
        ? "reconnecting"
        : store.isLive
          ? "live"
          : "recorded";
    setText(this.#mode, mode);
    setAttribute(
      this.#mode,
      "class",
      `chip quiet ${mode.replaceAll(" ", "-")}`,
    );
    const error = model.run.error ?? run?.error ?? null;
    this.#error.hidden = error === null;
    setText(this.#error, error ?? "");
    this.#showFigures();
    const isOver = !store.isLive;
    this.#orders.update({
      pause: isOver ? "The run is over." : undefined,
      cancel: isOver ? "The run is over." : undefined,
      resume: undefined,
      retry: isOver ? undefined : "The run is still at work.",
    });
  }

  #showFigures() {
    const { store } = this.#shared;
    if (!store) return;
    const { model } = store;
    let read = 0;
    let durable = 0;
    let planned = 0;
    let size = 0;
    let partitions = 0;
    let done = 0;
    let reading = 0;
    for (const stream of model.progress.streams.values()) {
      read += Math.max(stream.rows, stream.rowsDurable);
      durable += stream.rowsDurable;
      planned += stream.rowsPlanned;
      size += stream.bytes;
      partitions += stream.partitions;
      done += stream.partitionsDone;
      reading += stream.partitionsReading;
    }
    this.#measure(read, size, store.now);
    let living = 0;
    for (const actor of model.tree.actors.values())
      if (!actor.isOver) living += 1;
    let busy = 0;
    let held = 0;
    for (const channel of model.progress.channels.values()) {
      if (channel.source.startsWith("reading")) busy += 1;
      if (channel.pausedSince !== null || channel.heldSince !== null) held += 1;
    }
    const share = planned > 0 ? durable / Math.max(planned, read) : 0;
    const elapsed = model.firstAt === null ? 0 : store.now - model.firstAt;
    this.#set(
      "durable",
      short(durable),
      planned > 0
        ? `${percent(share)} of ~${short(Math.max(planned, read))}`
        : "",
    );
    this.#set("read", short(read), bytes(size));
    const { perSecond, bytesPerSecond } = this.#rate;
    this.#set("rate", `${short(perSecond)}/s`, `${bytes(bytesPerSecond)}/s`);
    this.#set(
      "partitions",
      count(done),
      `of ${count(partitions)}${reading > 0 ? `, ${reading} reading` : ""}`,
    );
    this.#set(
      "sockets",
      String(model.progress.channels.size),
      held > 0 ? `${held} held up` : busy > 0 ? `${busy} busy` : "",
    );
    this.#set("actors", count(living), `of ${count(model.tree.actors.size)}`);
    this.#set(
      "time",
      duration(elapsed),
      model.dropped > 0 ? `${count(model.dropped)} records lost` : "",
    );
    this.#showLog(model.log, store.now);
    const base = Math.max(planned, read, 1);
    setStyle(this.#bar, "--read", String(Math.min(1, read / base)));
    setStyle(this.#bar, "--durable", String(Math.min(1, durable / base)));
  }

  /**
   * @param {import("../../../proto/figures.ts").LogLag | null} log
   * @param {number} now
   */
  #showLog(log, now) {
    this.#log.hidden = log === null;
    if (log === null) return;
    const size = log.lagBytes === null ? "" : bytes(log.lagBytes);
    const step = log.step === "calm" ? "" : words(log.step);
    this.#set(
      "log",
      log.asOfMs === 0 ? "–" : duration(now - log.asOfMs),
      [size, step].filter(Boolean).join(", "),
    );
  }

  /**
   * @param {number} rows
   * @param {number} size
   * @param {number} now
   */
  #measure(rows, size, now) {
    const { store } = this.#shared;
    const rate = this.#rate;
    if (!store?.isLive || !store.isFollowing) {
      const elapsed = now - (store?.model.firstAt ?? now);
      rate.perSecond = elapsed > 0 ? (rows * 1000) / elapsed : 0;
      rate.bytesPerSecond = elapsed > 0 ? (size * 1000) / elapsed : 0;
      rate.at = 0;
      return;
    }
    const passed = now - rate.at;
    if (rate.at === 0 || rows < rate.rows) {
      Object.assign(rate, { at: now, rows, bytes: size });
    } else if (passed >= 1_000) {
      const weight = 0.5;
      const fresh = ((rows - rate.rows) * 1000) / passed;
      const freshBytes = ((size - rate.bytes) * 1000) / passed;
      rate.perSecond += (fresh - rate.perSecond) * weight;
      rate.bytesPerSecond += (freshBytes - rate.bytesPerSecond) * weight;
      Object.assign(rate, { at: now, rows, bytes: size });
    }
  }

  /**
   * @param {string} key
   * @param {string} value
   * @param {string} note
   */
  #set(key, value, note) {
    const figure = this.#figures.get(key);
    if (!figure) return;
    setText(figure.value, value);
    setText(figure.note, note);
  }
}
