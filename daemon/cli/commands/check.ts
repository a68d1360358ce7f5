import type { Discovery } from "../../../connectors/sources/source.ts";
import {
  findSourceKind,
  readSourceKind,
  type SourceKind,
} from "../../../connectors/sources/url.ts";
import { toWireError, type WireError } from "../../../proto/error.ts";
import type { SyncSettings } from "../../config-request.ts";
import {
  checkDestination,
  type DestinationFacts,
} from "../check-destination.ts";
import {
  buildDestination,
  configOf,
  destinationKindOf,
  nameDestination,
} from "../../destinations.ts";
import { requestDefaults } from "../../request.ts";
import type { OutputOptions } from "../options.ts";
import { quotePath } from "../paths.ts";
import { printError, printJson, printOut } from "../print.ts";
import { reportProblems } from "../problems.ts";
import {
  chooseSync,
  readDestination,
  readSourceUrl,
  usage,
} from "../request.ts";
import { createPaint, hasColours } from "../terminal.ts";
import { printBytes, printQuantity } from "../values.ts";

interface CheckOptions extends OutputOptions {
  readonly file?: string;
}

/** What is looked at; null is left out. */
interface Subject {
  readonly url: string | null;
  /** An absolute folder, or a URL. */
  readonly root: string | null;
  readonly options: Pick<SyncSettings, "destinationOptions" | "connector">;
  readonly tables: readonly string[];
  readonly exclude: readonly string[];
}

type Result<Facts> =
  | { readonly ok: true; readonly facts: Facts }
  | { readonly ok: false; readonly error: unknown };

/** `millrace check`. Gives the exit code: that of the first fault. */
export async function runCheck(
  source: string | undefined,
  destination: string | undefined,
  options: CheckOptions,
): Promise<number> {
  const subject = await readSubject(source, destination, options);
  const [atSource, atDestination] = await Promise.all([
    subject.url === null ? null : attempt(inspectSource(subject.url, subject)),
    subject.root === null
      ? null
      : attempt(inspectDestination(subject.root, subject.options)),
  ]);
  if (options.json === true) {
    printJson({
      source: atSource && toJson(atSource, describeDiscovery),
      destination: atDestination && toJson(atDestination, (facts) => facts),
    });
  }
  return Math.max(
    ...report(atSource, options, "source", (discovery) =>
      describeSource(readSourceKind(subject.url ?? ""), discovery),
    ),
    ...report(atDestination, options, "destination", describeDestination),
    atSource?.ok === true ? reportProblems(atSource.facts) : 0,
  );
}

async function readSubject(
  source: string | undefined,
  destination: string | undefined,
  options: CheckOptions,
): Promise<Subject> {
  if (options.file !== undefined) {
    const settings = await chooseSync(options.file, source, destination);
    return fromSettings(settings);
  }
  if (source === undefined) {
    throw usage(
      "there is nothing to check",
      "`millrace check <source-url> [destination]`, or a folder alone.",
    );
  }
  // a folder alone is a destination
  const alone =
    destination === undefined &&
    findSourceKind(source) === null &&
    (!source.includes("://") || destinationKindOf(source) === "s3");
  const root = alone ? source : destination;
  return {
    url: alone ? null : readSourceUrl(source),
    root: root === undefined ? null : readDestination(root),
    options: {},
    tables: [],
    exclude: [],
  };
}

function fromSettings(settings: SyncSettings): Subject {
  const { url, destination, tables = [], exclude = [] } = settings;
  const { destinationOptions, connector } = settings;
  return {
    url,
    root: destination,
    options: {
      ...(destinationOptions ? { destinationOptions } : {}),
      ...(connector ? { connector } : {}),
    },
    tables,
    exclude,
  };
}

async function inspectSource(
  url: string,
  subject: Subject,
): Promise<Discovery> {
  const { checkSource, discoverSource } =
    await import("../../inspect-source.ts");
  await checkSource(url);
  const { tables, exclude } = subject;
  return discoverSource(url, { include: tables, exclude, columns: null });
}

/** A folder is looked at; another destination is asked by a process of its own, as a sync would. */
async function inspectDestination(
  name: string,
  options: Subject["options"],
): Promise<CheckedDestination> {
  const destination = buildDestination({ destination: name, ...options });
  if (destination.kind === "file")
    return { kind: "file", ...checkDestination(destination.root) };
  const { format, mode } = requestDefaults;
  const { checkDestinationConfig } =
    await import("../../inspect-destination.ts");
  await checkDestinationConfig(await configOf({ destination, format, mode }));
  return { kind: destination.kind, name: nameDestination(destination) };
}

type CheckedDestination =
  | ({ readonly kind: "file" } & DestinationFacts)
  | { readonly kind: string; readonly name: string };

async function attempt<Facts>(work: Promise<Facts>): Promise<Result<Facts>> {
  try {
    return { ok: true, facts: await work };
  } catch (error) {
    return { ok: false, error };
  }
}

function toJson<Facts>(
  result: Result<Facts>,
  describe: (facts: Facts) => object,
): { readonly ok: boolean; readonly error?: WireError } {
  return result.ok
    ? { ok: true, ...describe(result.facts) }
    : { ok: false, error: toWireError(result.error) };
}

/** Gives the exit codes of what went wrong. */
function report<Facts>(
  result: Result<Facts> | null,
  options: CheckOptions,
  name: string,
  describe: (facts: Facts) => string,
): number[] {
  if (result === null) return [0];
  if (!result.ok)
    return [printError(result.error, options.logLevel === "debug")];
  if (options.json !== true) {
    const paint = createPaint(hasColours(process.stdout));
    printOut(`${paint.green("ok")} ${name}: ${describe(result.facts)}`);
  }
  return [0];
}

function describeDiscovery({ serverVersion, streams, problems }: Discovery) {
  return { serverVersion, tables: streams.length, problems };
}

function describeSource(
  kind: SourceKind,
  { serverVersion, streams }: Discovery,
): string {
  const server =
    serverVersion === 0 ? "connected" : nameServer(kind, serverVersion);
  return `${server}, ${printQuantity(streams.length, "table")} can be read`;
}

/** MariaDB's first version of its own; MySQL's are below. */
const MARIADB_MIN = 100_000;

/** `150018` is Postgres 15.18, `80015` MySQL 8.0.15, `101119` MariaDB 10.11.19, `160000` SQL Server 16.0. */
function nameServer(kind: SourceKind, version: number): string {
  const major = Math.floor(version / 10_000);
  const rest = version % 10_000;
  const minor = Math.floor(rest / 100);
  if (kind === "postgres") return `Postgres ${major}.${rest}`;
  if (kind === "mssql") return `SQL Server ${major}.${minor}`;
  const product = version < MARIADB_MIN ? "MySQL" : "MariaDB";
  return `${product} ${major}.${minor}.${rest % 100}`;
}

function describeDestination(facts: CheckedDestination): string {
  if (!("root" in facts)) return `${facts.name}, can be written`;
  const { root, exists, freeBytes } = facts;
  const remark = exists ? "" : " (made by the first sync)";
  return `${quotePath(root)}${remark}, ${printBytes(freeBytes)} free`;
}
