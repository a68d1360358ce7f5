/** Numbers, times and words as people read them. */

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** @param {number} value */
export function count(value) {
  return whole.format(Math.round(value));
}

/**
 * Three digits and a letter: `1.24 M`.
 * @param {number} value
 */
export function short(value) {
  const size = Math.abs(value);
  if (size < 10_000) return count(value);
  for (const [limit, unit] of /** @type {const} */ ([
    [1e6, "k"],
    [1e9, "M"],
    [1e12, "G"],
  ]))
    if (size < limit) return `${digits((value / limit) * 1000)} ${unit}`;
  return `${digits(value / 1e12)} T`;
}

/** @param {number} value */
export function bytes(value) {
  if (value < 1000) return `${Math.round(value)} B`;
  let size = value;
  for (const unit of ["kB", "MB", "GB", "TB"]) {
    size /= 1000;
    if (size < 999.5 || unit === "TB") return `${digits(size)} ${unit}`;
  }
  return "";
}

/** @param {number} value */
function digits(value) {
  if (value >= 99.95) return value.toFixed(0);
  return value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

/** @param {number} share 0 to 1 */
export function percent(share) {
  if (!Number.isFinite(share) || share <= 0) return "0%";
  if (share < 0.01) return "<1%";
  return `${Math.floor(Math.min(1, share) * 100)}%`;
}

/** @param {number} ms */
export function duration(ms) {
  if (ms < 0) return "0 ms";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} m ${pad(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${pad(minutes % 60)} m`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** @param {number} value */
function pad(value) {
  return String(Math.floor(value)).padStart(2, "0");
}

/** @param {number} at milliseconds since the Unix epoch */
export function clock(at) {
  const date = new Date(at);
  const ms = String(date.getMilliseconds()).padStart(3, "0");
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${ms}`;
}

/** @param {number | null} at */
export function moment(at) {
  if (at === null) return "–";
  const date = new Date(at);
  const today = new Date();
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}`;
  if (date.toDateString() === today.toDateString()) return time;
  const month = date.toLocaleString("en-GB", { month: "short" });
  return `${date.getDate()} ${month} ${time}`;
}

/**
 * What a state means to somebody who looks for trouble.
 * @param {string} state
 * @returns {"work" | "wait" | "good" | "held" | "bad" | "idle"}
 */
export function toneOf(state) {
  const last = state.split(".").at(-1) ?? state;
  if (/failed|broken|error|aborted|lost|abandoning|overdue/i.test(last))
    return "bad";
  if (
    /paused|backingOff|discarding|cancelling|interrupted|draining|again|partly|partlyFailed/i.test(
      last,
    )
  )
    return "held";
  if (
    /^(done|succeeded|committed|finished|ended|sealed|planned|stopped|released)$/i.test(
      last,
    )
  )
    return "good";
  if (/^(idle|waiting|queued|even|connecting|starting|unknown)?$/i.test(last))
    return "wait";
  return "work";
}

/**
 * `pausedByBackpressure` as words: `paused by backpressure`.
 * @param {string} name
 */
export function words(name) {
  return name
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .replace(/([A-Z])(?=[A-Z][a-z])/g, "$1 ")
    .toLowerCase();
}

/**
 * An event as people call it: `xstate.done.actor.seal` is `seal done`.
 * @param {string} event
 */
export function eventName(event) {
  const [, what, of = ""] =
    /^xstate\.(done\.actor|error\.actor|done\.state|after)\.(.*)$/s.exec(
      event,
    ) ?? [];
  if (what === undefined) return event;
  if (what === "after") return `after ${of.split(".")[0]}`;
  return `${of} ${what === "error.actor" ? "failed" : "done"}`;
}
