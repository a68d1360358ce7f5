/** The page: which run, which view, where in time; what is drawn again, and when. */
import { api, ApiError, setToken, takeTokenFromAddress } from "./api.js";
import { forgetColours, h, replace, setAttribute } from "./dom.js";
import { ActorsView } from "./actors-view.js";
import { CheckpointsView } from "./checkpoints-view.js";
import { createHelp } from "./help.js";
import { Header } from "./header.js";
import { RunList } from "./run-list.js";
import { SequenceView } from "./sequence-view.js";
import { SocketsView } from "./sockets-view.js";
import { RunStore } from "./store.js";
import { StreamsView } from "./streams-view.js";
import { Timeline } from "./timeline.js";
import { applyTheme, nextTheme } from "./theme.js";

/** What changes by itself, such as the time in a state, is drawn so often. */
const TICK_MS = 1_000;
/** Records come ten times a second at most; drawing takes no more turns. */
const DRAW_MS = 120;
const RUNS_MS = 2_000;

/** @typedef {import("./views.js").View} View */
/** @typedef {import("./views.js").Shared} Shared */

class Page {
  /** @type {Shared} */
  shared = {
    session: null,
    charts: {},
    store: null,
    run: null,
    showActor: (key) => this.#showActor(key),
    go: (run, view) => this.#go(run, view),
    toast: (message, tone) => showToast(message, tone),
  };
  #views = [
    new StreamsView(this.shared),
    new ActorsView(this.shared),
    new SequenceView(this.shared),
    new SocketsView(this.shared),
    new CheckpointsView(this.shared),
  ];
  #viewName = "streams";
  #list = new RunList((run) => this.#go(run, this.#viewName));
  #header = new Header(this.shared);
  #timeline = new Timeline(this.shared);
  #help = createHelp();
  /** @type {HTMLElement} */
  #tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Views" });
  /** @type {HTMLElement} */
  #content = h("main", { id: "content", class: "content", tabindex: "-1" });
  /** @type {HTMLElement} */
  #shell = h("div", { class: "shell" });
  /** @type {ReturnType<typeof setTimeout> | null} */
  #drawing = null;
  #lastDraw = 0;
  #isRefused = false;

  start() {
    applyTheme();
    takeTokenFromAddress();
    const app = /** @type {HTMLElement} */ (document.getElementById("app"));
    this.#build(app);
    addEventListener("hashchange", () => this.#route());
    addEventListener("keydown", (event) => this.#key(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
      this.#themeChanged(),
    );
    setInterval(() => this.#draw(), TICK_MS);
    setInterval(() => void this.#loadRuns(), RUNS_MS);
    void this.#begin();
  }

  /** @param {HTMLElement} app */
  #build(app) {
    for (const [at, view] of this.#views.entries())
      this.#tabs.append(
        h(
          "button",
          {
            role: "tab",
            id: `tab-${view.name}`,
            "aria-controls": "view",
            "data-view": view.name,
            onclick: () => this.#go(this.#runId, view.name),
          },
          view.title,
          h("kbd", { "aria-hidden": "true" }, String(at + 1)),
        ),
      );
    this.#tabs.addEventListener("keydown", (event) => this.#tabKey(event));
    const top = h(
      "header",
      { class: "top" },
      h(
        "button",
        {
          class: "icon-button menu-button",
          "aria-label": "Runs",
          "aria-expanded": "false",
          "aria-controls": "runs",
          onclick: () => this.#toggleRuns(),
        },
        "☰",
      ),
      h(
        "a",
        { class: "brand", href: "#/" },
        h("img", { src: "/inspector/page/icon.svg", alt: "", width: 22 }),
        h("span", {}, "Millrace"),
        h("span", { class: "brand-part" }, "Inspector"),
      ),
      h("span", { class: "grow" }),
      h(
        "button",
        {
          class: "icon-button",
          id: "theme",
          title: "Light or dark (t)",
          "aria-label": "Switch between light and dark",
          onclick: () => this.#switchTheme(),
        },
        "◐",
      ),
      h(
        "button",
        {
          class: "icon-button",
          id: "help-button",
          title: "Keys (?)",
          "aria-label": "Keyboard shortcuts",
          onclick: () => this.#help.showModal(),
        },
        "?",
      ),
    );
    const side = h(
      "nav",
      { class: "side", id: "runs", "aria-label": "Runs" },
      this.#list.element,
    );
    this.#shell.append(top, side, this.#content);
    replace(app, this.#shell, this.#help);
  }

  async #begin() {
    try {
      this.shared.session = await api.session();
      this.shared.charts = await api.charts();
      await this.#loadRuns();
      this.#route();
    } catch (error) {
      this.#fail(error);
    }
  }

  async #loadRuns() {
    if (document.hidden || this.shared.session === null) return;
    try {
      const { runs } = await api.runs();
      this.#list.setRuns(runs);
      this.shared.run =
        runs.find(({ runId }) => runId === this.#runId) ?? this.shared.run;
      if (this.#runId === null) this.#showEmpty();
      this.#list.setConnected(true);
    } catch (error) {
      this.#list.setConnected(false);
      if (error instanceof ApiError && error.status === 401) this.#fail(error);
    }
  }

  get #runId() {
    return this.shared.store?.runId ?? null;
  }

  #route() {
    const [, , run = "", view = ""] = /^#\/(run\/([^/]+)\/?)?(.*)$/.exec(
      location.hash,
    ) ?? ["", "", "", ""];
    const id = run === "" ? null : decodeURIComponent(run);
    const known = this.#views.find(({ name }) => name === view);
    this.#viewName = known?.name ?? "streams";
    const wanted = id ?? this.#list.newest;
    if (wanted === null) this.#showEmpty();
    else if (wanted !== this.#runId) this.#openRun(wanted);
    this.#showView();
  }

  /**
   * @param {string | null} run
   * @param {string} view
   */
  #go(run, view) {
    if (run !== null) {
      location.hash = `#/run/${encodeURIComponent(run)}/${view}`;
      // at once: the next key is for the view that this one has chosen, and the event comes later
      this.#route();
    }
    this.#shell.classList.remove("shows-runs");
  }

  /** @param {string} runId */
  #openRun(runId) {
    this.shared.store?.close();
    const listed = this.#list.find(runId);
    this.shared.run = listed;
    const store = new RunStore(runId, () => this.#soon());
    this.shared.store = store;
    this.#list.setChosen(runId);
    for (const view of this.#views) view.reset();
    document.title = `${listed?.sync ?? runId} – Millrace inspector`;
    void store.open(listed?.isLive ?? true);
  }

  #showView() {
    const store = this.shared.store;
    if (store === null) return;
    for (const tab of this.#tabs.children) {
      const isChosen =
        tab instanceof HTMLElement && tab.dataset["view"] === this.#viewName;
      setAttribute(tab, "aria-selected", String(isChosen));
      setAttribute(tab, "tabindex", isChosen ? "0" : "-1");
    }
    const view = this.#view;
    if (view.element.parentElement?.parentElement !== this.#content)
      replace(
        this.#content,
        this.#header.element,
        this.#tabs,
        h(
          "div",
          {
            class: "view",
            id: "view",
            role: "tabpanel",
            "aria-labelledby": `tab-${view.name}`,
          },
          view.element,
        ),
        this.#timeline.element,
      );
    this.#tabs
      .querySelector("[aria-selected=true]")
      ?.scrollIntoView({ block: "nearest", inline: "center" });
    this.#draw();
  }

  get #view() {
    return (
      this.#views.find(({ name }) => name === this.#viewName) ??
      /** @type {View} */ (this.#views[0])
    );
  }

  /** @param {string} key */
  #showActor(key) {
    const actors = this.#views[1];
    if (actors instanceof ActorsView) actors.choose(key);
    this.#go(this.#runId, "actors");
  }

  #soon() {
    if (this.#drawing !== null) return;
    const wait = Math.max(0, DRAW_MS - (performance.now() - this.#lastDraw));
    this.#drawing = setTimeout(() => {
      this.#drawing = null;
      requestAnimationFrame(() => this.#draw());
    }, wait);
  }

  #draw() {
    const { store } = this.shared;
    if (store === null || document.hidden) return;
    this.#lastDraw = performance.now();
    if (store.phase === "failed" && store.error) {
      this.#showMessage(
        "This run cannot be shown",
        store.error.message,
        store.error.help ||
          "It may have been removed, oldest runs first, to keep within the space for recordings.",
      );
      return;
    }
    if (this.#content.querySelector(".message")) this.#showView();
    this.#header.update();
    this.#view.update();
    this.#timeline.update();
  }

  #showEmpty() {
    if (this.#list.newest !== null) {
      this.#route();
      return;
    }
    this.#showMessage(
      "No run has been seen yet",
      "As soon as a sync runs, its actors appear here, live. Runs that are over stay and can be stepped through.",
      "millrace trigger <sync>",
      true,
    );
  }

  /**
   * @param {string} title
   * @param {string} text
   * @param {string} hint
   * @param {boolean} [isCommand]
   */
  #showMessage(title, text, hint, isCommand = false) {
    if (this.#content.querySelector(".message h1")?.textContent === title)
      return;
    replace(
      this.#content,
      h(
        "section",
        { class: "message" },
        h("div", { class: "message-mark", "aria-hidden": "true" }, "≋"),
        h("h1", {}, title),
        h("p", {}, text),
        hint && h(isCommand ? "code" : "p", { class: "hint" }, hint),
      ),
    );
  }

  /** @param {unknown} error */
  #fail(error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401 || error.status === 403) {
      if (!this.#isRefused) this.#askToken(error);
      return;
    }
    this.#showMessage(error.message, error.help, "", false);
    setTimeout(() => void this.#begin(), RUNS_MS);
  }

  /** @param {ApiError} error */
  #askToken(error) {
    this.#isRefused = true;
    this.shared.session = null;
    const input = h("input", {
      type: "password",
      id: "token",
      name: "token",
      autocomplete: "off",
      spellcheck: "false",
      required: true,
    });
    const form = h(
      "form",
      {
        class: "message token-form",
        onsubmit: (/** @type {Event} */ event) => {
          event.preventDefault();
          setToken(input.value);
          this.#isRefused = false;
          replace(this.#content);
          void this.#begin();
        },
      },
      h("div", { class: "message-mark", "aria-hidden": "true" }, "≋"),
      h("h1", {}, "Who is there?"),
      h(
        "p",
        {},
        sessionStorage.length > 0
          ? error.message
          : "The daemon shows its runs to those who have a token.",
      ),
      h("label", { for: "token" }, "Token"),
      h(
        "div",
        { class: "row" },
        input,
        h("button", { class: "primary" }, "Open"),
      ),
      h(
        "p",
        { class: "hint" },
        "Tokens are configured under daemon.tokens. Without any, the daemon has written one beside its ledger; millrace inspect --url prints this address with it.",
      ),
    );
    replace(this.#content, form);
    input.focus();
  }

  #toggleRuns() {
    const isShown = this.#shell.classList.toggle("shows-runs");
    const button = this.#shell.querySelector(".menu-button");
    if (button) setAttribute(button, "aria-expanded", String(isShown));
    if (isShown) this.#list.focus();
  }

  #switchTheme() {
    nextTheme();
    this.#themeChanged();
  }

  #themeChanged() {
    forgetColours();
    for (const view of this.#views) view.themeChanged();
    this.#draw();
  }

  /** @param {KeyboardEvent} event */
  #tabKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const at = this.#views.indexOf(/** @type {any} */ (this.#view));
    const next = this.#views.at((at + step) % this.#views.length);
    if (!next) return;
    this.#go(this.#runId, next.name);
    const tab = document.getElementById(`tab-${next.name}`);
    setTimeout(() => tab?.focus());
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.defaultPrevented) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    const isTyping =
      target instanceof HTMLInputElement && target.type !== "range";
    if (isTyping) {
      if (event.key === "Escape") target.blur();
      return;
    }
    if (this.#help.open || document.querySelector("dialog[open]")) return;
    const number = Number(event.key);
    const view = Number.isInteger(number) ? this.#views[number - 1] : undefined;
    const { store } = this.shared;
    /** @type {Record<string, () => void>} */
    const keys = {
      "?": () => this.#help.showModal(),
      t: () => this.#switchTheme(),
      r: () => this.#list.focus(),
      "/": () => this.#focusSearch(),
      " ": () => (store?.isFollowing ? store.pause() : store?.follow()),
      f: () => store?.follow(),
      "[": () => void store?.seek(store.position - 1),
      "]": () => void store?.seek(store.position + 1),
      "{": () => void store?.seek(store.position - 100),
      "}": () => void store?.seek(store.position + 100),
      "<": () => void store?.seek(1),
      ">": () => void store?.seek(store.end),
      Escape: () => this.#shell.classList.remove("shows-runs"),
    };
    if (view) this.#go(this.#runId, view.name);
    else if (target instanceof HTMLButtonElement && event.key === " ") return;
    else if (keys[event.key]) keys[event.key]?.();
    else return;
    event.preventDefault();
  }

  #focusSearch() {
    const field = this.#view.element.querySelector("input[type=search]");
    if (field instanceof HTMLInputElement) field.focus();
    else this.#list.focus();
  }
}

/**
 * @param {string} message
 * @param {"good" | "bad"} tone
 */
function showToast(message, tone) {
  const toast = h("div", { class: `toast ${tone}` }, message);
  document.getElementById("toasts")?.append(toast);
  setTimeout(() => toast.remove(), 6_000);
}

new Page().start();
