/** The keys, under `?`. */
import { h } from "./dom.js";

const keys = [
  ["1 … 5", "choose a view"],
  ["r", "go to the list of runs"],
  ["/", "search in this view"],
  ["space", "stand still, or follow the run again"],
  ["[  ]", "one record back, or on"],
  ["{  }", "a hundred back, or on"],
  ["<  >", "the first record, or the last"],
  ["f", "follow the run"],
  ["↑ ↓ ← →", "move in lists, open and close branches"],
  ["enter", "choose"],
  ["t", "light or dark"],
  ["esc", "leave a field, close what is open"],
  ["?", "this list"],
];

/** @returns {HTMLDialogElement} */
export function createHelp() {
  /** @type {HTMLDialogElement} */
  const dialog = h(
    "dialog",
    { class: "help", "aria-labelledby": "help-title" },
    h(
      "div",
      { class: "dialog-head" },
      h("h2", { id: "help-title" }, "Keys"),
      h(
        "button",
        {
          class: "icon-button",
          "aria-label": "Close",
          onclick: () => dialog.close(),
        },
        "✕",
      ),
    ),
    h(
      "dl",
      { class: "keys" },
      keys.flatMap(([key = "", what = ""]) => [
        h(
          "dt",
          {},
          key
            .split(/\s+/)
            .map((one) => (one === "…" ? " … " : h("kbd", {}, one))),
        ),
        h("dd", {}, what),
      ]),
    ),
  );
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  return dialog;
}
