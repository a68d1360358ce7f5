/** Orders to a run or an actor. Who may not give them sees why. */
import { api, ApiError } from "./api.js";
import { h } from "./dom.js";

/** @typedef {import("./views.js").Shared} Shared */

const labels = /** @type {const} */ ({
  pause: "Pause",
  resume: "Resume",
  retry: "Retry",
  cancel: "Cancel",
});

/**
 * Why no order can be given; null: it can.
 * @param {Shared} shared
 */
function refusal({ session, store, run }) {
  if (!session?.takesOrders)
    return "This is a recording: there is nobody to take orders.";
  if (session.role === "viewer")
    return "Your token may look, not act: this needs an operator's.";
  if (store && !store.isFollowing)
    return "You are looking at the past. Follow the run to act on it.";
  if (run && !run.isLive) return null;
  return null;
}

/** Buttons that are drawn once and updated. */
export class OrderButtons {
  /** @type {HTMLElement} */
  element = h("div", {
    class: "orders",
    role: "group",
    "aria-label": "Orders",
  });
  /** @type {Map<keyof typeof labels, HTMLButtonElement>} */
  #buttons = new Map();
  #shared;
  #target;

  /**
   * @param {Shared} shared
   * @param {() => { key: string, name: string, process: string, thread: number, session: string } | null} target null: the run itself
   */
  constructor(shared, target) {
    this.#shared = shared;
    this.#target = target;
    for (const order of /** @type {(keyof typeof labels)[]} */ (
      Object.keys(labels)
    )) {
      const button = h(
        "button",
        {
          class: `order ${order}`,
          "data-order": order,
          onclick: () => void this.#give(order),
        },
        labels[order],
      );
      this.#buttons.set(order, button);
      this.element.append(button);
    }
  }

  /** @param {Partial<Record<keyof typeof labels, string | undefined>>} refused why not, by order */
  update(refused) {
    const all = refusal(this.#shared);
    for (const [order, button] of this.#buttons) {
      const reason = all ?? refused[order] ?? null;
      // not `disabled`: whoever comes by keyboard is to hear the reason
      button.setAttribute("aria-disabled", String(reason !== null));
      if (reason === null) button.removeAttribute("title");
      else button.title = reason;
    }
  }

  /** @param {keyof typeof labels} order */
  async #give(order) {
    const { store, toast } = this.#shared;
    const button = this.#buttons.get(order);
    if (!store || button?.getAttribute("aria-disabled") === "true") {
      if (button?.title) toast(button.title, "bad");
      return;
    }
    const target = this.#target();
    const what = target === null ? "the run" : target.name;
    if (
      order === "cancel" &&
      !(await confirm(
        `Cancel ${what}?`,
        target === null
          ? "What is durable stays, and the run can be resumed later."
          : "What it has made durable stays.",
      ))
    )
      return;
    try {
      if (target === null) await api.order(store.runId, order);
      else {
        const { process, thread, session } = target;
        await api.orderActor(
          store.runId,
          { process, thread, id: session },
          order,
        );
      }
      toast(`${labels[order]} was ordered for ${what}.`, "good");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      toast(`${error.message}. ${error.help}`, "bad");
    }
  }
}

/**
 * @param {string} title
 * @param {string} text
 * @returns {Promise<boolean>}
 */
function confirm(title, text) {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog",
      { class: "confirm", "aria-labelledby": "confirm-title" },
      h("h2", { id: "confirm-title" }, title),
      h("p", {}, text),
      h(
        "div",
        { class: "row end" },
        h("button", { onclick: () => dialog.close("no") }, "Keep going"),
        h(
          "button",
          { class: "danger", onclick: () => dialog.close("yes") },
          "Cancel it",
        ),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
