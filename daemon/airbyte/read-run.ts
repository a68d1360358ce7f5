/** What the runs of a source executable have in common, whether or not changes are captured. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requestDefaults, type SyncRequest } from "../request.ts";
import type { AirbyteDestinationRequest } from "./destination-request.ts";
import type { SourceConfig } from "./source-config.ts";
import { describeStatus } from "./stdout.ts";
import { nameTable } from "../../proto/table-name.ts";

/** Whoever is to connect to our sockets starts with us, or long after: as Airbyte's destinations wait for theirs. */
export const CONNECT_MS_MAX = 15 * 60_000;

interface StreamName {
  readonly namespace: string;
  readonly name: string;
}

/** A private folder, for a ledger that goes with it. */
export async function inFolder<Result>(
  work: (folder: string) => Promise<Result>,
): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), "millrace-read-"));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Of a run whose destination is our own output. */
export function describeRead(
  config: SourceConfig,
  streams: readonly StreamName[],
  { channel, deadlines }: Omit<AirbyteDestinationRequest, "kind" | "connector">,
  folder: string,
): SyncRequest {
  return {
    ...requestDefaults,
    source: { url: config.url },
    destination: { kind: "airbyte", connector: null, channel, deadlines },
    mode: "full-refresh-append",
    tables: streams.map(({ namespace, name }) =>
      nameTable({ namespace, name }),
    ),
    // whoever runs us starts us anew with the last state, which a partition that failed here would contradict
    attemptsMax: 1,
    readers: channel.medium === "stdio" ? 1 : config.readers,
    checkpointEverySeconds: config.checkpointEverySeconds,
    // the only ranges that another snapshot can go on with
    partitionBy: "key",
    ledgerPath: join(folder, "ledger.sqlite"),
  };
}

/** Of streams that were read before. */
export function describeOver(streams: readonly StreamName[]): string[] {
  return streams.flatMap((one) => [
    describeStatus(one, "STARTED"),
    describeStatus(one, "COMPLETE"),
  ]);
}
