/** The inspector's page in a real browser. Screenshots go to a folder that the run names at its end. */
import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { launchBrowser } from "../../fixtures/browser.ts";
import { startInspector, tokens, type InspectorServer } from "./server.ts";
import { describeLargeRun, readTrace } from "./traces.ts";

const shots =
  process.env["MILLRACE_SHOTS"] ?? join(tmpdir(), "millrace-inspector-shots");
const past = "r-20261120-031500-5c1e";
const live = "r-20261121-091500-77aa";
const large = "r-20261121-100000-10k0";
const PARTITIONS = 10_000;

let browser: Browser;
let server: InspectorServer;
/** By scale: a new page costs four times what it costs to load the inspector in one that is there. */
const pages = new Map<number, Page>();
/** Of the last page: what went wrong in it, and whom it spoke to. */
let faults: string[] = [];
let hosts = new Set<string>();

beforeAll(async () => {
  mkdirSync(shots, { recursive: true });
  browser = await launchBrowser();
  server = await startInspector();
  const { feed } = server;
  const trace = readTrace();
  const named = (sync: string, state: string) =>
    ({ type: "run", state, sync, epoch: 1, error: null }) as const;
  const outcome = {
    ...trace.at(-1),
    kind: "figures",
    actor: "",
    machine: "",
    figures: named("shop", "succeeded"),
  };
  feed.addRecords(past, [...trace, outcome]);
  feed.end(past);
  const half = trace.slice(0, Math.floor(trace.length * 0.55));
  const shift = Date.now() - (half.at(-1)?.at ?? 0) - 400;
  const moved = half.map((record) => ({ ...record, at: record.at + shift }));
  feed.addRecords(large, [
    ...describeLargeRun(PARTITIONS, Date.now() - 60_000),
  ]);
  feed.addFigures(large, named("events", ""));
  feed.addFigures(live, named("shop-nightly", ""));
  feed.addRecords(live, moved);
  feed.addFigures(live, {
    type: "log",
    asOfMs: Date.now() - 3 * 3_600_000,
    lagBytes: 12_400_000,
    step: "hurry",
  });
});
afterAll(async () => {
  await browser.close();
  await server.close();
  console.log(`screenshots: ${shots}`);
});
afterEach(async ({ task }) => {
  // what a failed test still waits for must not go on in the page of the next
  if (task.result?.state === "fail")
    for (const [scale, page] of pages) {
      pages.delete(scale);
      await page.context().close();
    }
  expect(faults).toEqual([]);
  expect([...hosts]).toEqual([new URL(server.url).host]);
});

interface Look {
  readonly width?: number;
  readonly height?: number;
  readonly scheme?: "light" | "dark";
  readonly token?: string | null;
  readonly run?: string | null;
  readonly view?: string;
  readonly reducedMotion?: "reduce";
}

async function open(look: Look = {}): Promise<Page> {
  const {
    width = 1440,
    height = 900,
    scheme = "light",
    token = tokens.operator,
    run = past,
    view = "streams",
  } = look;
  const scale = width < 500 ? 2 : 1;
  const page = pages.get(scale) ?? (await openPage(scale));
  pages.set(scale, page);
  await page.unrouteAll({ behavior: "ignoreErrors" });
  await page.setViewportSize({ width, height });
  await page.emulateMedia({
    colorScheme: scheme,
    reducedMotion: look.reducedMotion ?? "no-preference",
  });
  // of the same origin, and without scripts: what the page before remembers is forgotten
  await page.goto(`${server.url}/inspector/page/icon.svg`);
  await page.evaluate("sessionStorage.clear(); localStorage.clear()");
  faults = [];
  hosts = new Set();
  if (token === null || run === null) {
    await page.goto(
      `${server.url}/inspector/${token === null ? "" : `#token=${token}`}`,
    );
    if (token !== null) await page.locator(".run-head .run-title").waitFor();
    return page;
  }
  // as after a reload: straight to the run, not by way of the newest, which is the largest
  await page.evaluate(
    `sessionStorage.setItem("millrace.token", ${JSON.stringify(token)})`,
  );
  await page.goto(addressOf(run, view));
  await waitForView(page, run, view);
  return page;
}

async function openPage(scale: number): Promise<Page> {
  const context = await browser.newContext({ deviceScaleFactor: scale });
  const page = await context.newPage();
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => {
    // the picture that stands alone has no icon, and the browser asks for one
    const isIcon = message.location().url.endsWith("/favicon.ico");
    if (
      message.type() === "error" &&
      !isIcon &&
      !message.text().includes("401")
    )
      faults.push(message.text());
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "data:") hosts.add(url.host);
  });
  return page;
}

const addressOf = (run: string, view: string) =>
  `${server.url}/inspector/#/run/${run}/${view}`;

async function waitForView(
  page: Page,
  run: string,
  view: string,
): Promise<void> {
  await page.locator(".run-head .run-title").waitFor();
  await page.getByText(run, { exact: true }).first().waitFor();
  await page
    .locator(`[role=tab][data-view=${view}][aria-selected=true]`)
    .waitFor();
}

const views = [
  "streams",
  "actors",
  "sequence",
  "sockets",
  "checkpoints",
] as const;
const looks = {
  light: {},
  dark: { scheme: "dark" },
  phone: { width: 390, height: 844 },
  "phone-dark": { width: 390, height: 844, scheme: "dark" },
} as const satisfies Record<string, Look>;

/** What must be in sight where a view shows the live run. */
const shown: Readonly<Record<(typeof views)[number], string>> = {
  streams: ".partition-row.vrow",
  actors: ".tree-row.vrow",
  sequence: ".seq-row .seq-label",
  sockets: ".socket canvas",
  checkpoints: ".crossing svg",
};

describe.for(Object.entries(looks))("%s", ([name, look]) => {
  test.for(views)("%s", async (view) => {
    const page = await open({ ...look, run: live, view });
    await page.locator(shown[view]).first().waitFor();
    if (view === "actors") {
      await page
        .locator(".tree-row", { hasText: /^\W*run/ })
        .first()
        .click();
      await page.locator(".state.current").waitFor();
    }
    const overflow = await page.evaluate(
      "document.documentElement.scrollWidth - innerWidth",
    );
    expect(overflow).toBe(0);
    await page.screenshot({
      path: join(shots, `${name}-${view}.png`),
      animations: "disabled",
    });
  });
});

test("how far a run is behind its log is in its head, where it follows one", async () => {
  const page = await open({ run: live });
  const figure = page.locator(".figure-log");
  await expect
    .poll(() => figure.locator(".figure-value").textContent())
    .toMatch(/^3 h 00 m$/);
  expect(await figure.locator(".figure-note").textContent()).toBe(
    "12.4 MB, hurry",
  );
  await open({ run: past });
  expect(await figure.isVisible()).toBe(false);
});

describe("a run that is over", () => {
  test("can be stepped through, event by event, by keyboard", async () => {
    const page = await open({ view: "sequence" });
    const place = page.locator(".timeline-place");
    const records = readTrace().length + 1;
    const total = records.toLocaleString("en-US");
    await expect.poll(() => place.textContent()).toBe(`${total} of ${total}`);
    await page.keyboard.press("<");
    await expect.poll(() => place.textContent()).toBe(`1 of ${total}`);
    await page.locator(".chip.quiet", { hasText: "standing still" }).waitFor();
    for (const wanted of ["2", "3", "4"]) {
      await page.keyboard.press("]");
      await expect
        .poll(() => place.textContent())
        .toBe(`${wanted} of ${total}`);
    }
    await page.keyboard.press("[");
    await expect.poll(() => place.textContent()).toBe(`3 of ${total}`);
    await page.keyboard.press("}");
    await expect.poll(() => place.textContent()).toBe(`103 of ${total}`);
    expect(await page.locator(".seq-row.here").count()).toBe(1);
    await page.screenshot({
      path: join(shots, "light-stepping.png"),
      animations: "disabled",
    });
    await page.keyboard.press("f");
    await expect.poll(() => place.textContent()).toBe(`${total} of ${total}`);
  });

  test("shows at each place how things stood there", async () => {
    const page = await open({ view: "streams" });
    const durable = page.locator(".figures .figure-value").first();
    await expect.poll(() => durable.textContent()).toBe("1.96 M");
    await page.locator(".slider").focus();
    await page.keyboard.press("Home");
    await expect.poll(() => durable.textContent()).toBe("0");
    await page.keyboard.press("End");
    await expect.poll(() => durable.textContent()).toBe("1.96 M");
  });

  test("lights the state its machine was in, and counts the ways it went", async () => {
    const page = await open({ view: "actors" });
    await page.getByLabel("Search actors").fill("reader:3/0");
    await page.locator(".tree-row.vrow").first().click();
    await page.locator(".state.current", { hasText: "done" }).waitFor();
    expect(await page.locator(".edge.taken").count()).toBeGreaterThanOrEqual(3);
    expect(await page.locator(".actor .sql").textContent()).toContain(
      "FROM ONLY",
    );
    await page.screenshot({
      path: join(shots, "light-reader.png"),
      animations: "disabled",
    });
  });

  test("finds records by their words, and leaves out what has a minus", async () => {
    const page = await open({ view: "sequence" });
    const search = page.getByLabel("Search records");
    await search.fill("checkpoint.durable");
    const rows = page.locator(".seq-row:not([hidden]) .seq-label b");
    await expect
      .poll(async () => new Set(await rows.allTextContents()))
      .toEqual(new Set(["checkpoint.durable"]));
    await search.fill("checkpoint -durable -ready");
    await expect
      .poll(async () =>
        (await rows.allTextContents()).filter((text) =>
          /durable|ready/.test(text),
        ),
      )
      .toEqual([]);
    await search.fill("nothing is called so");
    await page.getByText("No record here is like this").waitFor();
  });
});

describe("a run at work", () => {
  let tries = 0;
  /** Of an actor that no test, and no try of one, has told of before. */
  const describeActor = () => {
    tries += 1;
    const actor = {
      process: "source",
      thread: 0,
      actor: `g:${tries}`,
      machine: "governor",
      name: `governor ${tries}`,
      parent: "x:0",
    };
    const tell = (...more: readonly object[]) =>
      server.feed.addRecords(
        large,
        more.map((record) => ({ ...actor, at: Date.now(), ...record })),
      );
    return { name: actor.name, tell };
  };
  /** Rows out of sight keep what they showed last. */
  const stateIn = (page: Page, state: string) =>
    page
      .locator(".tree-row:not([hidden]) .t-state", { hasText: state })
      .first();

  /** The page with an actor in sight that has just begun to measure. */
  const openMeasuring = async () => {
    const { name, tell } = describeActor();
    const page = await open({ run: large, view: "actors" });
    await page.getByLabel("Search actors").fill(name);
    tell({ kind: "actor" }, { kind: "state", state: "measuring" });
    await stateIn(page, "measuring").waitFor();
    await page.getByLabel("Search actors").blur();
    return { page, tell };
  };

  test("is followed without a reload, and stands still when told to", async () => {
    const { page, tell } = await openMeasuring();
    await page.keyboard.press(" ");
    await page.locator(".timeline.still").waitFor();
    const { sequence = 0 } = server.feed.find(large)?.model ?? {};
    tell({ kind: "state", state: "resting" });
    const place = page.locator(".timeline-place");
    const end = (sequence + 1).toLocaleString("en-US");
    await expect.poll(() => place.textContent()).toContain(`of ${end}`);
    await stateIn(page, "measuring").waitFor();
    await page.keyboard.press("f");
    await stateIn(page, "resting").waitFor();
  });

  test("is followed again, although the place to stand at comes afterwards", async () => {
    const { page, tell } = await openMeasuring();
    const held = Promise.withResolvers<void>();
    await page.route("**/window?at=*", async (route) => {
      await held.promise;
      await route.continue();
    });
    const asked = page.waitForRequest("**/window?at=*");
    await page.keyboard.press(" ");
    await asked;
    await page.keyboard.press("f");
    const answered = page.waitForResponse("**/window?at=*");
    held.resolve();
    await (await answered).finished();
    tell({ kind: "state", state: "resting" });
    await stateIn(page, "resting").waitFor();
  });

  test("is gone on with after its connection was cut, and who stands still stays there", async () => {
    const { page, tell } = await openMeasuring();
    await page.keyboard.press("<");
    const place = page.locator(".timeline-place");
    await expect.poll(() => place.textContent()).toMatch(/^1 of /);
    const again = page.waitForRequest("**/records?after=*");
    server.cutConnections();
    await again;
    expect(await place.textContent()).toMatch(/^1 of /);
    tell({ kind: "state", state: "resting" });
    await page.keyboard.press("f");
    await stateIn(page, "resting").waitFor();
    // the browser itself tells of the connection
    faults = faults.filter((text) => !text.includes("net::ERR_"));
  });

  test("takes an operator's orders, and asks before it cancels", async () => {
    const page = await open({ run: live });
    const before = server.orders.length;
    await page.locator(".run-head .order.pause").click();
    await page.locator(".toast.good").waitFor();
    await page.locator(".run-head .order.cancel").click();
    await page.getByRole("button", { name: "Keep going" }).click();
    await page.locator(".run-head .order.cancel").click();
    await page.getByRole("button", { name: "Cancel it" }).click();
    await expect
      .poll(() => server.orders.slice(before))
      .toEqual([
        [live, "pause", "the operator"],
        [live, "cancel", "the operator"],
      ]);
  });

  test("orders one actor", async () => {
    const page = await open({ run: live, view: "actors" });
    await page.getByLabel("Search actors").fill("reader:3/4");
    await page.locator(".tree-row.vrow").first().click();
    await page.locator(".actor .order.retry").click();
    await expect
      .poll(() => server.orders.at(-1))
      .toMatchObject([live, { process: "source", thread: 0 }, "retry"]);
  });

  test("tells a viewer why there is nothing to order", async () => {
    const page = await open({ run: live, token: tokens.viewer });
    const pause = page.locator(".run-head .order.pause");
    expect(await pause.getAttribute("aria-disabled")).toBe("true");
    expect(await pause.getAttribute("title")).toContain("operator");
    const before = server.orders.length;
    // it can be pressed all the same, and then says why nothing happens
    await pause.click({ force: true });
    await page.locator(".toast.bad").waitFor();
    expect(server.orders.length).toBe(before);
  });
});

describe("by keyboard", () => {
  test("views, help, theme, runs", async () => {
    const page = await open();
    for (const [at, view] of views.entries()) {
      await page.keyboard.press(String(at + 1));
      await page
        .locator(`[role=tab][data-view=${view}][aria-selected=true]`)
        .waitFor();
    }
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    await page.screenshot({
      path: join(shots, "light-help.png"),
      animations: "disabled",
    });
    await page.keyboard.press("Escape");
    await page.keyboard.press("t");
    expect(await page.locator("html").getAttribute("data-theme")).toBe("dark");
    await page.keyboard.press("r");
    await page.keyboard.press("Home");
    await page.locator(".run-row.chosen").first().waitFor();
    await page.keyboard.press("3");
    // the view is there for the next key, however busy the page is
    await page.keyboard.press("/");
    expect(await page.evaluate("document.activeElement.type")).toBe("search");
  });

  test("the tree opens and closes by arrows, and says what it is", async () => {
    const page = await open({ view: "actors" });
    const tree = page.getByRole("tree");
    await page.getByRole("treeitem", { name: "bookkeeper process" }).waitFor();
    await tree.focus();
    await page.keyboard.press("Home");
    const first = page.getByRole("treeitem").first();
    expect(await first.getAttribute("aria-expanded")).toBe("true");
    const before = await page.locator(".tree-row.vrow:not([hidden])").count();
    await page.keyboard.press("ArrowLeft");
    await expect.poll(() => first.getAttribute("aria-expanded")).toBe("false");
    expect(await tree.getAttribute("aria-activedescendant")).toBe(
      await first.getAttribute("id"),
    );
    await page.keyboard.press("ArrowRight");
    await expect
      .poll(() => page.locator(".tree-row.vrow:not([hidden])").count())
      .toBe(before);
  });

  test("everything that can be pressed has a name, and every view its focus order", async () => {
    const page = await open();
    for (const view of views) {
      await page.keyboard.press(String(views.indexOf(view) + 1));
      await page
        .locator(`[role=tab][data-view=${view}][aria-selected=true]`)
        .waitFor();
      const nameless = await page.evaluate(
        `[...document.querySelectorAll("button,input,select,[role=img],[role=tree],[role=grid],[role=listbox]")].filter((one) => !(one.textContent.trim() || one.ariaLabel || one.getAttribute("aria-label") || one.ariaHidden === "true")).map((one) => one.outerHTML)`,
      );
      expect(nameless, view).toEqual([]);
    }
  });
});

describe("what is not there", () => {
  test("without a token it asks for one, and opens with it", async () => {
    const page = await open({ token: null });
    await page.getByLabel("Token").fill("wrong");
    await page.getByRole("button", { name: "Open" }).click();
    await page.getByText("not known").waitFor();
    await page.screenshot({
      path: join(shots, "light-token.png"),
      animations: "disabled",
    });
    await page.getByLabel("Token").fill(tokens.viewer);
    await page.getByRole("button", { name: "Open" }).click();
    await page.locator(".run-head").waitFor();
    expect(page.url()).not.toContain(tokens.viewer);
  });

  test("a run that is not recorded is said so", async () => {
    const page = await open({ run: null });
    faults = [];
    await page.evaluate("location.hash = '#/run/r-none/streams'");
    await page.getByText("This run cannot be shown").waitFor();
    await page.screenshot({
      path: join(shots, "light-missing.png"),
      animations: "disabled",
    });
    // the browser itself tells of the 404
    faults = faults.filter((text) => !text.includes("404"));
  });

  test("a daemon without a run says what to do", async () => {
    const empty = await startInspector();
    try {
      const page = await open({ run: null, width: 1100, height: 700 });
      await page.goto(`${empty.url}/inspector/#token=${tokens.viewer}`);
      await page.getByText("millrace trigger").waitFor();
      await page.screenshot({
        path: join(shots, "light-empty.png"),
        animations: "disabled",
      });
      hosts = new Set([new URL(server.url).host]);
      await page.goto("about:blank");
    } finally {
      await empty.close();
    }
  });
});

test("ten thousand partitions have elements only for those in sight; frames while scrolling are told", async () => {
  const page = await open({ run: large, view: "streams" });
  await page.getByText("10,000 partitions").first().waitFor();
  await page.screenshot({
    path: join(shots, "light-10k.png"),
    animations: "disabled",
  });
  const measure = (selector: string) =>
    page.evaluate(`(async () => {
      const list = document.querySelector(${JSON.stringify(selector)});
      const times = [];
      let last = performance.now();
      for (let frame = 0; frame < 120; frame++) {
        list.scrollTop += frame % 40 === 39 ? list.scrollHeight / 5 : 300;
        await new Promise((resolve) => requestAnimationFrame(resolve));
        const now = performance.now();
        times.push(now - last);
        last = now;
      }
      times.sort((a, b) => a - b);
      return { median: times[60], p95: times[114], longest: times[119], rows: list.querySelectorAll(".vrow").length, top: list.scrollTop };
    })()`) as Promise<{
      median: number;
      p95: number;
      longest: number;
      rows: number;
      top: number;
    }>;
  const partitions = await measure(".partitions .vlist");
  expect(partitions.top).toBeGreaterThan(10_000);
  expect(partitions.rows).toBeLessThan(80);
  await page.keyboard.press("2");
  await page.getByText("10,000 × reader").click();
  await page.keyboard.press("Enter");
  await page.locator(".tree-row", { hasText: "reader:1/0" }).first().waitFor();
  const tree = await measure(".tree-panel .vlist");
  expect(tree.rows).toBeLessThan(80);
  console.log(
    "ms a frame while scrolling 10,000",
    JSON.stringify({ partitions, tree }),
  );
});

test("nothing moves for those who do not want it", async () => {
  const page = await open({ run: live, reducedMotion: "reduce" });
  const animated = await page.evaluate("document.getAnimations().length");
  expect(animated).toBe(0);
});
