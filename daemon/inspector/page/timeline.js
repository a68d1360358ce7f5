/** Where in the run's records we stand: follow, stand still, step. */
import { h, setAttribute, setStyle, setText } from "./dom.js";
import { clock, count, duration } from "./format.js";

/** @typedef {import("./views.js").Shared} Shared */

export class Timeline {
  /** @type {HTMLElement} */
  element;
  #shared;
  #slider;
  #follow;
  #place = h("output", { class: "num timeline-place" });
  #time = h("span", { class: "num timeline-time" });

  /** @param {Shared} shared */
  constructor(shared) {
    this.#shared = shared;
    this.#slider = h("input", {
      type: "range",
      min: "1",
      step: "1",
      class: "slider",
      "aria-label": "Record that is stood at",
      oninput: () => void shared.store?.seek(Number(this.#slider.value)),
    });
    this.#follow = h(
      "button",
      {
        class: "follow",
        title: "space",
        onclick: () =>
          shared.store?.isFollowing
            ? shared.store.pause()
            : shared.store?.follow(),
      },
      "Follow",
    );
    /**
     * @param {string} label
     * @param {string} sign
     * @param {string} key
     * @param {number} step
     */
    const stepper = (label, sign, key, step) =>
      h(
        "button",
        {
          class: "icon-button step",
          "aria-label": label,
          title: `${label} (${key})`,
          onclick: () => void shared.store?.seek(shared.store.position + step),
        },
        sign,
      );
    this.element = h(
      "footer",
      { class: "timeline", "aria-label": "Time" },
      this.#follow,
      h(
        "div",
        { class: "steps" },
        stepper("A hundred records back", "«", "{", -100),
        stepper("One record back", "‹", "[", -1),
        stepper("One record on", "›", "]", 1),
        stepper("A hundred records on", "»", "}", 100),
      ),
      this.#slider,
      h("div", { class: "timeline-where" }, this.#place, this.#time),
    );
  }

  update() {
    const { store } = this.#shared;
    if (!store || store.phase !== "ready") return;
    const { position, end, model } = store;
    setAttribute(this.#slider, "max", String(Math.max(1, end)));
    if (document.activeElement !== this.#slider || store.isFollowing)
      this.#slider.value = String(position);
    setStyle(
      this.#slider,
      "--at",
      String(end <= 1 ? 1 : (position - 1) / (end - 1)),
    );
    const at = model.lastAt;
    const since =
      at === null || model.firstAt === null ? 0 : at - model.firstAt;
    setText(this.#place, `${count(position)} of ${count(end)}`);
    setText(
      this.#time,
      at === null ? "" : `${clock(at)} · +${duration(since)}`,
    );
    setAttribute(
      this.#slider,
      "aria-valuetext",
      `record ${position} of ${end}, ${duration(since)} after the start`,
    );
    const label = store.isFollowing
      ? store.isLive
        ? "Following"
        : "At the end"
      : store.isLive
        ? "Follow"
        : "To the end";
    setText(this.#follow, label);
    setAttribute(this.#follow, "aria-pressed", String(store.isFollowing));
    setAttribute(
      this.element,
      "class",
      `timeline${store.isFollowing ? "" : " still"}`,
    );
  }
}
