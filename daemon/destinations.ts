/**
 * The destinations that a sync can be asked for: what each is called, where its ledger lies by default, where a stream
 * ends up, and what its process is given. The one place beside the fronts that tells the kinds apart.
 */
import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { join } from "node:path";
import {
  FILE_BYTES_MAX_DEFAULT,
  PATH_TEMPLATE_DEFAULT,
  type FileDestinationConfig,
} from "../connectors/destinations/file/config.ts";
import { parsePartitionColumn } from "../connectors/formats/partition-rows.ts";
import { streamFolder } from "../connectors/destinations/layout/names.ts";
import {
  postgresDestinationDefaults,
  type PostgresDestinationConfig,
} from "../connectors/destinations/postgres/config.ts";
import { targetTable } from "../connectors/destinations/postgres/names.ts";
import { removePassword } from "../connectors/destinations/postgres/url.ts";
import type { DestinationConfig } from "../proto/control.ts";
import type { AirbyteDestinationSettings } from "../connectors/destinations/airbyte/config-schema.ts";
import { parseDestinationUrl as parseAirbyteUrl } from "../connectors/destinations/airbyte/url.ts";
import {
  buildAirbyteDestination,
  configOfAirbyte,
  nameAirbyteDestination,
  type AirbyteDestinationRequest,
} from "./airbyte/destination-request.ts";
import type { StreamRef, SyncRequest } from "./request.ts";
import { nameTable } from "../proto/table-name.ts";

/** How files are laid out, wherever they are. */
interface FileLayout {
  /** Folder of one stream below the root, from {namespace} and {stream}. */
  readonly pathTemplate: string;
  readonly fileBytesMax: number;
  /** Folders by the values of these columns, `column` or `column:day`, each file's rows having one value. */
  readonly foldersBy: readonly string[];
}

/** Options of a connector, by the names of the YAML file; its own schema has checked them. */
type ConnectorOptions = Readonly<Record<string, unknown>>;

export type DestinationRequest =
  | ({
      readonly kind: "file";
      /** Absolute folder. */
      readonly root: string;
    } & FileLayout)
  | ({
      readonly kind: "s3";
      /** s3://bucket/prefix, options behind a question mark. Keys are never part of it. */
      readonly url: string;
      readonly options: ConnectorOptions;
    } & FileLayout)
  | {
      readonly kind: "postgres";
      /** postgres:// URL; the password may come from PGPASSWORD. */
      readonly url: string;
      readonly options: ConnectorOptions;
    }
  | AirbyteDestinationRequest;

export type DestinationKind = DestinationRequest["kind"];

/** What a front has read of a destination. */
export interface DestinationSettings {
  /** An absolute folder, or a URL. */
  readonly destination: string;
  readonly pathTemplate?: string;
  readonly fileBytesMax?: number;
  readonly foldersBy?: readonly string[];
  readonly destinationOptions?: ConnectorOptions;
  /** Of a destination `airbyte:` that a file describes. */
  readonly connector?: AirbyteDestinationSettings;
}

const LEDGER_PATH = ".millrace/ledger.sqlite";

/** Folders have no scheme. */
export function destinationKindOf(text: string): DestinationKind | null {
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(text)?.[1]?.toLowerCase();
  if (text.startsWith("airbyte:")) return "airbyte";
  switch (scheme) {
    case undefined:
    case "file":
      return "file";
    case "s3":
      return "s3";
    case "postgres":
    case "postgresql":
      return "postgres";
    default:
      return null;
  }
}

export function buildDestination(
  settings: DestinationSettings,
): DestinationRequest {
  const { destination, destinationOptions: options = {} } = settings;
  const layout: FileLayout = {
    pathTemplate: settings.pathTemplate ?? PATH_TEMPLATE_DEFAULT,
    fileBytesMax: settings.fileBytesMax ?? FILE_BYTES_MAX_DEFAULT,
    foldersBy: settings.foldersBy ?? [],
  };
  switch (destinationKindOf(destination)) {
    case "airbyte":
      return buildAirbyteDestination(
        settings.connector ?? parseAirbyteUrl(destination),
      );
    case "s3":
      return { kind: "s3", url: destination, options, ...layout };
    case "postgres":
      return { kind: "postgres", url: destination, options };
    default:
      return { kind: "file", root: destination, ...layout };
  }
}

/** As people write it: an absolute folder, or a URL without its password and options. */
export function nameDestination(destination: DestinationRequest): string {
  switch (destination.kind) {
    case "file":
      return destination.root;
    case "s3":
      return nameS3(destination);
    case "postgres":
      return removePassword(destination.url);
    case "airbyte":
      return nameAirbyteDestination(destination);
  }
}

/** Another server's bucket of the same name is another place. */
function nameS3({
  url,
  options,
}: Extract<DestinationRequest, { kind: "s3" }>): string {
  const [place = "", query = ""] = url.split("?");
  const endpoint =
    options["endpoint"] ?? new URLSearchParams(query).get("endpoint");
  const name = place.replace(/\/+$/, "");
  return typeof endpoint === "string" ? `${name}?endpoint=${endpoint}` : name;
}

/**
 * The ledger of a destination that is named so, where no other was asked for: with the files, or in the user's folder
 * for state (XDG Base Directory Specification).
 */
export function defaultLedgerPath(
  name: string,
  env: NodeJS.ProcessEnv = process.env,
): string {
  if (destinationKindOf(name) === "file") return join(name, LEDGER_PATH);
  const state = env["XDG_STATE_HOME"] || join(homedir(), ".local", "state");
  const folder = createHash("sha256").update(name).digest("hex").slice(0, 16);
  return join(state, "millrace", folder, "ledger.sqlite");
}

/** Where a stream's rows are: a folder, an address, or a table. */
export function placeOf(
  destination: DestinationRequest,
  stream: Pick<StreamRef, "namespace" | "name">,
): string {
  switch (destination.kind) {
    case "file":
      return join(
        destination.root,
        streamFolder(destination.pathTemplate, stream),
      );
    case "s3": {
      const [place = ""] = destination.url.split("?");
      const folder = streamFolder(destination.pathTemplate, stream);
      return `${place.replace(/\/+$/, "")}/${folder}`;
    }
    case "postgres": {
      const { schema, table } = targetTable(
        { ...postgresDestinationDefaults, ...destination.options },
        stream,
      );
      return `${schema}.${table}`;
    }
    case "airbyte":
      return `${nameAirbyteDestination(destination)} ${nameTable(stream)}`;
  }
}

/**
 * What the destination process gets.
 * @param folder private, of one attempt; made by whoever needs it
 * @throws ExtractError USAGE for a URL that its connector refuses
 */
export async function configOf(
  {
    destination,
    format,
    mode,
    cursor = null,
  }: Pick<SyncRequest, "destination" | "format" | "mode"> &
    Partial<Pick<SyncRequest, "cursor">>,
  folder = "",
): Promise<DestinationConfig> {
  switch (destination.kind) {
    case "file": {
      const { foldersBy, ...layout } = destination;
      const config: FileDestinationConfig & DestinationConfig = {
        ...layout,
        format,
        partitionBy: foldersBy.map(parsePartitionColumn),
      };
      return config;
    }
    case "s3": {
      const { url, options, pathTemplate, fileBytesMax, foldersBy } =
        destination;
      const { parseS3Url } =
        await import("../connectors/destinations/s3/url.ts");
      const target = parseS3Url(url, options);
      return {
        ...target,
        pathTemplate,
        fileBytesMax,
        format,
        partitionBy: foldersBy.map(parsePartitionColumn),
      } as typeof target;
    }
    case "postgres": {
      const { kind, url, options } = destination;
      const config: PostgresDestinationConfig = {
        ...postgresDestinationDefaults,
        ...options,
        kind,
        url,
        mode,
      };
      return config;
    }
    case "airbyte":
      return configOfAirbyte(destination, {
        ...{ folder, cursor },
        syncId: Math.floor(Date.now() / 1000),
        isLogged: mode === "cdc",
      });
  }
}
