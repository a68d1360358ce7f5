/** What all connections share: the file, the catalogue, the locks and the settings. */
import type { DatabaseSync } from "node:sqlite";
import type { ServerMessage } from "../wire/tokens.ts";
import { Catalogue } from "./catalogue.ts";
import { Locks } from "./locks.ts";
import { openSqlite } from "./sqlite.ts";

export class Database {
  readonly file: string;
  readonly name: string;
  readonly databases: string[];
  readonly collation: string;
  readonly versionText: string;
  readonly productVersion: string;
  readonly catalogue = new Catalogue();
  readonly locks = new Locks();
  /** Views that are absent or forbidden, by name in small letters. */
  readonly restricted = new Map<string, ServerMessage>();
  snapshotAllowed: boolean;
  readCommittedSnapshot = false;
  /** Null lets ALTER DATABASE pass. */
  alterError: ServerMessage | null = null;
  #rowVersion = 2000n;

  constructor(settings: {
    file: string;
    name: string;
    collation: string;
    snapshotAllowed: boolean;
    version: readonly [number, number, number];
  }) {
    this.file = settings.file;
    this.name = settings.name;
    this.databases = ["master", "tempdb", "model", "msdb", settings.name];
    this.collation = settings.collation;
    this.snapshotAllowed = settings.snapshotAllowed;
    this.productVersion = `${settings.version.join(".")}.1`;
    this.versionText = `Microsoft SQL Server 2022 (test server of TDS 7.4) - ${this.productVersion} (X64)`;
  }

  open(): DatabaseSync {
    const db = openSqlite(this.file, this.catalogue);
    db.function("next_rowversion", () => this.nextRowVersion());
    db.function("next_identity", (tableId: unknown) =>
      this.nextIdentity(Number(tableId)),
    );
    return db;
  }

  get lastRowVersion(): Buffer {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(this.#rowVersion);
    return bytes;
  }

  nextRowVersion(): Buffer {
    this.#rowVersion += 1n;
    return this.lastRowVersion;
  }

  nextIdentity(tableId: number): bigint {
    const table = this.catalogue.findById(tableId)!;
    const value = table.nextIdentity;
    table.nextIdentity +=
      table.columns.find(({ identity }) => identity !== null)?.identity?.step ??
      1n;
    return value;
  }
}
