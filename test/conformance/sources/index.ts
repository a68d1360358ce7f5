import type { SourceDriver } from "../drivers.ts";
import { mariadb, mysql } from "./mysql.ts";
import { postgres } from "./postgres.ts";
import { sqlServer } from "./sqlserver.ts";

/** The first is the one that every destination is tried with in short runs. */
export const sources: readonly SourceDriver[] = [
  postgres,
  mysql,
  mariadb,
  sqlServer,
];
