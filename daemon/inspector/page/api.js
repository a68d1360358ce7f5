/** The daemon's answers. The token stays in this tab's memory of the browser, and goes to no other place. */

const BASE = "/inspector/api";
const TOKEN_KEY = "millrace.token";

export class ApiError extends Error {
  /**
   * @param {number} status 0: there was no answer
   * @param {string} message
   * @param {string} help
   */
  constructor(status, message, help) {
    super(message);
    this.status = status;
    this.help = help;
  }
}

/** A token given as `#token=…` is taken out of the address at once. */
export function takeTokenFromAddress() {
  const match = /[#&]token=([^&]+)/.exec(location.hash);
  if (!match?.[1]) return;
  setToken(decodeURIComponent(match[1]));
  history.replaceState(null, "", `${location.pathname}#/`);
}

/** @param {string} token */
export function setToken(token) {
  sessionStorage.setItem(TOKEN_KEY, token.trim());
}

/** @returns {Record<string, string>} */
function headers() {
  const token = sessionStorage.getItem(TOKEN_KEY);
  return token ? { authorization: `Bearer ${token}` } : {};
}

/**
 * @param {string} path
 * @param {Omit<RequestInit, "headers"> & { headers?: Record<string, string> }} [init]
 * @returns {Promise<Response>}
 */
async function request(path, init = {}) {
  let response;
  try {
    response = await fetch(BASE + path, {
      ...init,
      headers: { ...headers(), ...init.headers },
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError")
      throw error;
    throw new ApiError(
      0,
      "The daemon does not answer",
      "It may have been stopped. This page goes on by itself when it is back.",
    );
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  const told = body?.error ?? body;
  throw new ApiError(
    response.status,
    told?.message ?? `The daemon answered ${response.status}`,
    told?.help ?? "",
  );
}

/** @param {string} path */
async function get(path) {
  return (await request(path)).json();
}

/**
 * @param {string} path
 * @param {unknown} body
 */
async function post(path, body) {
  const response = await request(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return response.json();
}

/** @param {string} run */
const runPath = (run) => `/runs/${encodeURIComponent(run)}`;

export const api = {
  /** @returns {Promise<{ name: string | null, role: string, takesOrders: boolean }>} */
  session: () => get("/session"),
  /** @returns {Promise<Record<string, import("../model/chart.ts").Chart>>} */
  charts: () => get("/charts"),
  /** @returns {Promise<{ runs: import("../model/listed-run.ts").ListedRun[] }>} */
  runs: () => get("/runs"),
  /**
   * @param {string} run
   * @param {number | null} at null: the last one
   * @returns {Promise<{ base: import("../model/run-model.ts").ModelSnapshot, first: number, lines: string[], end: number }>}
   */
  window: (run, at) =>
    get(`${runPath(run)}/window${at === null ? "" : `?at=${at}`}`),
  /**
   * @param {string} run
   * @param {string} order
   */
  order: (run, order) => post(`${runPath(run)}/order`, { order }),
  /**
   * @param {string} run
   * @param {{ process: string, thread: number, id: string }} actor
   * @param {string} order
   */
  orderActor: (run, actor, order) =>
    post(`${runPath(run)}/actor-order`, { ...actor, order }),
  stream,
};

/**
 * Server-sent events by hand: an EventSource cannot send a token.
 * @param {string} run
 * @param {number} after
 * @param {(event: string, data: any) => void} onEvent
 * @param {AbortSignal} signal
 * @returns {Promise<void>} when the stream has ended, or was cut off
 */
async function stream(run, after, onEvent, signal) {
  const response = await request(`${runPath(run)}/records?after=${after}`, {
    signal,
  });
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await readOn(reader, signal);
    if (done) return;
    text += value;
    let end = text.indexOf("\n\n");
    while (end >= 0) {
      dispatch(text.slice(0, end), onEvent);
      text = text.slice(end + 2);
      end = text.indexOf("\n\n");
    }
  }
}

/**
 * A connection that breaks is an end like any other; only the one who closed it hears of that as an error.
 * @param {ReadableStreamDefaultReader<string>} reader
 * @param {AbortSignal} signal
 */
async function readOn(reader, signal) {
  try {
    return await reader.read();
  } catch (error) {
    if (signal.aborted) throw error;
    return { done: true, value: undefined };
  }
}

/**
 * @param {string} block
 * @param {(event: string, data: any) => void} onEvent
 */
function dispatch(block, onEvent) {
  let event = "message";
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) event = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  if (data !== "") onEvent(event, JSON.parse(data));
}
