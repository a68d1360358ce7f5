/**
 * The thread that owns a ledger's connection to Postgres. It does one order at a time and always answers, within the
 * order's time, whatever the server does: the thread that asked sleeps until then.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { workerData } from "node:worker_threads";
import pg from "pg";
import { parseIntoClientConfig } from "pg-connection-string";
import type {
  BridgeAnswer,
  BridgeFault,
  BridgeOrder,
  BridgeWorkerData,
} from "./postgres-bridge.ts";
import { hidePassword } from "./postgres-url.ts";

/** Between two tries to connect, in milliseconds. */
const RECONNECT_EVERY_MS = 200;

/** Bytes of one result, counted as its values' characters. */
const RESULT_BYTES_MAX = 256 * 1024 * 1024;

/** Statements that are kept prepared; those beyond are sent as they are. */
const PREPARED_MAX = 400;

/** Object identifiers of types. @see Postgres source, pg_type.dat */
const OID_INT8 = 20;
const OID_NUMERIC = 1700;

const { url, port, signal } = workerData as BridgeWorkerData;
const answered = new Int32Array(signal);

let client: pg.Client | null = null;
const prepared = new Map<string, string>();

const types: pg.CustomTypesConfig = {
  // counts, times and sums: far below 2^53
  getTypeParser: (oid: number) =>
    oid === OID_INT8 || oid === OID_NUMERIC
      ? Number
      : pg.types.getTypeParser(oid, "text"),
};

/** The password of the URL or of the environment: what no message may hold. */
function findPassword(): string | null {
  try {
    const config = parseIntoClientConfig(url);
    return typeof config.password === "string"
      ? config.password
      : (process.env["PGPASSWORD"] ?? null);
  } catch {
    return null;
  }
}

function describeFault(error: unknown, isLost: boolean): BridgeFault {
  const words = error instanceof Error ? error.message : String(error);
  // several addresses that all refused have no words of their own
  const first =
    error instanceof AggregateError ? (error.errors[0] as unknown) : null;
  const code =
    error instanceof Error && "code" in error ? String(error.code) : null;
  return {
    code,
    message: hidePassword(
      words || (first instanceof Error ? first.message : (code ?? "no reason")),
      findPassword(),
    ),
    isLost,
  };
}

/** Once, or again and again until `timeoutMs` have passed. */
async function connect(
  order: Extract<BridgeOrder, { kind: "connect" }>,
): Promise<BridgeAnswer> {
  drop();
  const deadline = performance.now() + order.timeoutMs;
  for (;;) {
    try {
      await connectOnce(order, Math.max(1, deadline - performance.now()));
      return { rows: [], changed: 0, command: "" };
    } catch (error) {
      drop();
      const isOver = performance.now() + RECONNECT_EVERY_MS >= deadline;
      if (!order.persists || isOver)
        return { fault: describeFault(error, true) };
      await sleep(RECONNECT_EVERY_MS);
    }
  }
}

async function connectOnce(
  { setup, name }: Extract<BridgeOrder, { kind: "connect" }>,
  timeoutMs: number,
): Promise<void> {
  const made = new pg.Client({
    // sslmode as libpq means it, as for every other URL here
    ...parseIntoClientConfig(withLibpqModes(url)),
    application_name: name,
    connectionTimeoutMillis: timeoutMs,
    keepAlive: true,
    types,
  });
  // also said between two orders, when nobody would hear a rejected promise
  made.on("error", () => {
    if (client === made) drop();
  });
  client = made;
  await within(made.connect(), timeoutMs);
  await within(made.query(setup), timeoutMs);
}

function withLibpqModes(text: string): string {
  const parsed = new URL(text);
  if (!parsed.searchParams.has("uselibpqcompat"))
    parsed.searchParams.set("uselibpqcompat", "true");
  return parsed.href;
}

function drop(): void {
  const old = client;
  client = null;
  prepared.clear();
  // not asked to end in good order: it may not answer
  old?.connection.stream.destroy();
}

async function query(
  order: Extract<BridgeOrder, { kind: "query" }>,
): Promise<BridgeAnswer> {
  const used = client;
  if (!used)
    return {
      fault: { code: null, message: "it is not connected", isLost: true },
    };
  try {
    return await within(send(used, order), order.timeoutMs);
  } catch (error) {
    const isServersWord =
      error instanceof pg.DatabaseError && error.severity === "ERROR";
    // FATAL ends the session, and a wait that ran out leaves it in an unknown state
    if (!isServersWord && client === used) drop();
    return { fault: describeFault(error, client !== used) };
  }
}

/** Without values the simple protocol is used, which takes several statements; the last one's result is given. */
async function send(
  used: pg.Client,
  { sql, values }: Extract<BridgeOrder, { kind: "query" }>,
): Promise<BridgeAnswer> {
  const query = new pg.Query(
    values === null
      ? { text: sql }
      : { text: sql, values: [...values], name: nameStatement(sql) },
  ) as pg.Query & NodeJS.EventEmitter;
  const { promise, resolve, reject } = Promise.withResolvers<BridgeAnswer>();
  const rows: Record<string, null | number | string>[] = [];
  let bytes = 0;
  query.on("row", (row: Record<string, null | number | string>) => {
    for (const value of Object.values(row))
      bytes += typeof value === "string" ? value.length : 8;
    if (bytes <= RESULT_BYTES_MAX) rows.push(row);
    else rows.length = 0;
  });
  query.on("error", reject);
  query.on("end", (result: pg.QueryResult | pg.QueryResult[]) => {
    const last = Array.isArray(result) ? result.at(-1) : result;
    if (bytes > RESULT_BYTES_MAX)
      reject(new Error(`a result of more than ${RESULT_BYTES_MAX} bytes`));
    else
      resolve({
        rows,
        changed: last?.rowCount ?? 0,
        command: last?.command ?? "",
      });
  });
  used.query(query);
  return promise;
}

/** Undefined: not to be prepared. */
function nameStatement(sql: string): string | undefined {
  const known = prepared.get(sql);
  if (known !== undefined || prepared.size >= PREPARED_MAX) return known;
  const name = `s${prepared.size}`;
  prepared.set(sql, name);
  return name;
}

async function within<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  const timer = new AbortController();
  const late = sleep(timeoutMs, undefined, { signal: timer.signal }).then(
    () => {
      throw Object.assign(
        new Error(`no answer within ${Math.round(timeoutMs)} ms`),
        { code: "ETIMEDOUT" },
      );
    },
  );
  try {
    return await Promise.race([work, late]);
  } finally {
    timer.abort();
    late.catch(() => {});
    work.catch(() => {});
  }
}

async function close(timeoutMs: number): Promise<BridgeAnswer> {
  const used = client;
  client = null;
  if (used) await within(used.end(), timeoutMs).catch(() => {});
  return { rows: [], changed: 0, command: "" };
}

function answer(id: number, given: BridgeAnswer): void {
  port.postMessage({ id, ...given });
  Atomics.store(answered, 0, id);
  Atomics.notify(answered, 0);
}

async function obey(order: BridgeOrder): Promise<BridgeAnswer> {
  switch (order.kind) {
    case "connect":
      return connect(order);
    case "query":
      return query(order);
    case "close":
      return close(order.timeoutMs);
  }
}

port.on("message", ({ id, order }: { id: number; order: BridgeOrder }) => {
  obey(order).then(
    (given) => answer(id, given),
    (error: unknown) => answer(id, { fault: describeFault(error, true) }),
  );
});
