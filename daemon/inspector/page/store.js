/**
 * What the page knows of the chosen run: the model at the place that is looked at, and the records around. Following, it
 * goes with the run; else it stands at one record, of a run at work as of one long over.
 */
import { RunModel } from "../model/run-model.ts";
import { api, ApiError } from "./api.js";

/** @typedef {import("../model/records.ts").ModelRecord} ModelRecord */
/** @typedef {{ sequence: number, record: ModelRecord }} Numbered */

/** Records that are kept for the sequence of a run that is followed. */
const RECENT_MAX = 20_000;
const RECENT_CUT = 2_000;
const WINDOWS_MAX = 6;
const RETRY_MS = 2_000;

/**
 * @typedef {object} Window
 * @property {import("../model/run-model.ts").ModelSnapshot} base
 * @property {number} first
 * @property {ModelRecord[]} records
 */

export class RunStore {
  /** @type {string} */
  runId;
  /** @type {"loading" | "ready" | "failed"} */
  phase = "loading";
  /** @type {ApiError | null} */
  error = null;
  /** @type {"none" | "live" | "lost"} */
  connection = "none";
  isFollowing = true;
  isLive = false;
  model = new RunModel();
  /** Records that are in the model that is shown. */
  position = 0;
  /** One past the last record that there is. */
  end = 0;
  /** The newest records, while following. @type {Numbered[]} */
  recent = [];
  /** Grows when the records that are shown are others, not only more. */
  generation = 0;
  #live = new RunModel();
  /** @type {Map<number, Window>} */
  #windows = new Map();
  #windowSize = 2_000;
  #abort = new AbortController();
  #wanted = -1;
  #seeking = false;
  /** @type {() => void} */
  #onChange;

  /**
   * @param {string} runId
   * @param {() => void} onChange
   */
  constructor(runId, onChange) {
    this.runId = runId;
    this.#onChange = onChange;
  }

  /** Milliseconds since the Unix epoch: of the record that is stood at, or of now. */
  get now() {
    if (this.isFollowing && this.isLive) return Date.now();
    return this.model.lastAt ?? Date.now();
  }

  close() {
    this.#abort.abort();
  }

  /** @param {boolean} isLive */
  async open(isLive) {
    // a gap begins anew with another signal: what belongs to the old one ends without a word
    const { signal } = this.#abort;
    try {
      const window = await api.window(this.runId, null);
      if (signal.aborted) return;
      const loaded = this.#keep(window);
      this.#live = RunModel.from(window.base);
      for (const record of loaded.records) this.#live.apply(record);
      this.recent = loaded.records.map((record, at) => ({
        sequence: loaded.first + at,
        record,
      }));
      this.end = window.first + window.lines.length;
      this.isLive = isLive;
      // who stands still stays there, whatever happens to the connection
      if (this.isFollowing) this.#showLive();
      this.phase = "ready";
      this.error = null;
      this.#onChange();
      if (isLive) await this.#listen(signal);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      this.error = error;
      this.phase = this.phase === "ready" ? "ready" : "failed";
      this.connection = "lost";
      this.#onChange();
      if (error.status === 0 || error.status >= 500)
        this.#openAgain(isLive, signal);
    }
  }

  /**
   * @param {boolean} isLive
   * @param {AbortSignal} signal
   */
  #openAgain(isLive, signal) {
    setTimeout(() => {
      if (!signal.aborted) void this.open(isLive);
    }, RETRY_MS);
  }

  /** @param {AbortSignal} signal */
  async #listen(signal) {
    this.connection = "live";
    let isOver = false;
    await api.stream(
      this.runId,
      this.end,
      (event, data) => {
        if (event === "records") this.#take(data.first, data.records);
        else if (event === "end") isOver = true;
        else if (event === "gap") this.#abortStream();
      },
      signal,
    );
    if (signal.aborted) return;
    this.isLive = !isOver;
    this.connection = isOver ? "none" : "lost";
    this.#onChange();
    if (!isOver) this.#openAgain(true, signal);
  }

  /** More was missed than is kept: the model is taken anew. */
  #abortStream() {
    this.#abort.abort();
    this.#abort = new AbortController();
    void this.open(true);
  }

  /**
   * @param {number} first
   * @param {ModelRecord[]} records
   */
  #take(first, records) {
    for (const [at, record] of records.entries()) {
      const sequence = first + at;
      if (sequence < this.end) continue;
      this.#live.apply(record);
      this.recent.push({ sequence, record });
      this.end = sequence + 1;
    }
    if (this.recent.length > RECENT_MAX) {
      this.recent.splice(0, RECENT_CUT);
      this.generation += 1;
    }
    if (this.isFollowing) this.position = this.end;
    this.#onChange();
  }

  follow() {
    this.isFollowing = true;
    this.#showLive();
    this.#onChange();
  }

  #showLive() {
    this.model = this.#live;
    this.position = this.end;
    this.generation += 1;
  }

  pause() {
    if (this.isFollowing) void this.seek(this.position);
  }

  /**
   * Stands behind the first so many records.
   * @param {number} position
   */
  async seek(position) {
    if (this.phase !== "ready") return;
    this.isFollowing = false;
    this.#wanted = Math.max(1, Math.min(position, this.end));
    if (this.#seeking) return;
    this.#seeking = true;
    try {
      while (this.#wanted !== this.position || this.model === this.#live) {
        const target = this.#wanted;
        await this.#show(target);
        if (this.isFollowing || this.#wanted === target) break;
      }
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.error = error;
      // nothing to stand at was got: what is shown is still what is followed
      if (this.model === this.#live) this.isFollowing = true;
      this.#onChange();
    } finally {
      this.#seeking = false;
    }
  }

  /** @param {number} position */
  async #show(position) {
    const window = await this.#windowAt(position - 1);
    // the window can be long in coming, and meanwhile the run be followed again
    if (this.isFollowing) return;
    const isBehind =
      this.model !== this.#live &&
      this.position <= position &&
      this.position >= window.first &&
      this.model.sequence === this.position;
    const model = isBehind ? this.model : RunModel.from(window.base);
    let next = isBehind ? this.position : window.first;
    for (; next < position; next++) {
      const record = window.records[next - window.first];
      if (record === undefined) break;
      model.apply(record);
    }
    // where the file has lost records, the numbers go on as they were
    model.sequence = position;
    this.model = model;
    this.position = position;
    this.generation += 1;
    this.#onChange();
  }

  /**
   * @param {number} sequence
   * @returns {Promise<Window>}
   */
  async #windowAt(sequence) {
    const first = sequence - (sequence % this.#windowSize);
    const known = this.#windows.get(first);
    if (known && known.first + known.records.length > sequence) return known;
    return this.#keep(await api.window(this.runId, sequence));
  }

  /** The records of the window that is stood in. @returns {Numbered[]} */
  get around() {
    const sequence = Math.max(0, this.position - 1);
    const window = this.#windows.get(sequence - (sequence % this.#windowSize));
    return (window?.records ?? []).map((record, at) => ({
      sequence: (window?.first ?? 0) + at,
      record,
    }));
  }

  /**
   * @param {Awaited<ReturnType<typeof api.window>>} answer
   * @returns {Window}
   */
  #keep({ base, first, lines }) {
    /** @type {Window} */
    const window = {
      base,
      first,
      records: lines.map((line) => JSON.parse(line)),
    };
    this.#windows.delete(first);
    this.#windows.set(first, window);
    const oldest = this.#windows.keys().next().value;
    if (this.#windows.size > WINDOWS_MAX && oldest !== undefined)
      this.#windows.delete(oldest);
    return window;
  }
}
