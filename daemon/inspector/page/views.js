/** What the views of a run have in common. */

/**
 * @typedef {object} Shared
 * @property {{ name: string | null, role: string, takesOrders: boolean } | null} session
 * @property {Record<string, import("../model/chart.ts").Chart>} charts
 * @property {import("./store.js").RunStore | null} store
 * @property {import("../model/listed-run.ts").ListedRun | null} run
 * @property {(key: string) => void} showActor
 * @property {(run: string | null, view: string) => void} go
 * @property {(message: string, tone: "good" | "bad") => void} toast
 */

/**
 * @typedef {object} View
 * @property {string} name in the address
 * @property {string} title
 * @property {HTMLElement} element
 * @property {() => void} update called when there is something new, and once a second
 * @property {() => void} reset another run was chosen
 * @property {() => void} themeChanged
 */

export {};
