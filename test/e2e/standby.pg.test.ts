/** A hot standby as the source: reading there costs the primary nothing. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import pg from "pg";
import {
  findServerUser,
  startCluster,
  type Cluster,
  type ClusterOptions,
} from "../../deploy/demo/cluster.ts";
import { runCommand, runSync } from "../fixtures/run-sync.ts";
import { findPrograms } from "../services/postgres.ts";
import { waitFor } from "./support/command.ts";
import { createShapes, type Shape } from "./support/shapes.ts";
import { digestFiles, digestTable, type Digest } from "./support/tables.ts";
