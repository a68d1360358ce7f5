/** The daemon's own log: JSON lines by pino, with sync, queue entry, run, stream and partition wherever they are known. */
import { pino, type DestinationStream, type Logger } from "pino";
import type { DaemonEvent, DaemonService } from "../service/types.ts";
import type { RunEvent } from "../request.ts";
import type { SecretCover } from "./secrets.ts";
import { nameTable } from "../../proto/table-name.ts";

export type { Logger } from "pino";

/** Secrets are covered value by value, so that a line stays the JSON that it is. */
export function createDaemonLog(
  cover: SecretCover,
  level: string,
  stream: DestinationStream = pino.destination({ fd: 2, sync: true }),
): Logger {
  return pino(
    {
      level,
      base: { process: "daemon" },
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => cover.coverValue(plain(fields)) as typeof fields,
      },
      serializers: {},
      hooks: {
        logMethod(parts, method) {
          const covered = parts.map((part: unknown) =>
            typeof part === "string" ? cover.coverText(part) : part,
          );
          method.apply(this, covered as typeof parts);
        },
      },
    },
    stream,
  );
}

/** Errors as plain members: what is covered later has to be seen. */
function plain(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      value instanceof Error
        ? { type: value.name, message: value.message, stack: value.stack ?? "" }
        : value,
    ]),
  );
}

/** Writes down what the daemon tells; progress is for metrics and goes unlogged. Returns how to stop. */
export function logEvents(
  service: Pick<DaemonService, "subscribe">,
  log: Logger,
): () => void {
  return service.subscribe((event) => logEvent(log, event));
}

function logEvent(log: Logger, event: DaemonEvent): void {
  switch (event.type) {
    case "queue.changed": {
      const { queueId, sync, state } = event;
      log.info({ queueId, sync, state }, `queue entry is ${state}`);
      return;
    }
    case "run.event": {
      const { queueId, runId: run, sync } = event;
      logRunEvent(log.child({ queueId, run, sync }), event.event);
      return;
    }
    case "sync.paused":
    case "sync.resumed":
      log.info({ sync: event.sync }, event.type);
      return;
    case "config.reloaded":
      log.info({ changes: event.changes }, "the configuration was reloaded");
      return;
    case "daemon.draining":
      log.info("the daemon drains");
      return;
  }
}

function logRunEvent(log: Logger, event: RunEvent): void {
  switch (event.type) {
    case "run.started":
      log.info(
        {
          ...{ epoch: event.epoch, resumed: event.resumed },
          architecture: event.architecture,
        },
        event.resumed === null ? "run started" : "run goes on",
      );
      return;
    case "stream.planned": {
      const { stream, rung, reason, partitions } = event;
      const fields = { ...nameStream(stream), rung, reason, partitions };
      log.info(fields, "stream planned");
      return;
    }
    case "schema.changed": {
      const { stream, ...change } = event;
      const fields = { ...nameStream(stream), change };
      log.info(fields, "the schema has changed");
      return;
    }
    case "stream.progress":
    case "log.progress":
      return;
    case "log.event": {
      const { kind, message } = event;
      if (kind === "log.started") log.info({ kind }, message);
      else log.warn({ kind }, message);
      return;
    }
    case "stream.finished": {
      const { state, rows, bytesRead, files, error } = event.summary;
      const fields = { ...nameStream(event.summary), state, rows, bytesRead };
      if (error)
        log.error({ ...fields, error }, `stream failed: ${error.message}`);
      else log.info({ ...fields, files }, "stream finished");
      return;
    }
    case "warning":
      log.warn(readPlace(event.message), event.message);
      return;
    case "run.finished": {
      const { state, elapsedMs, error } = event.summary;
      if (error) log.error({ state, elapsedMs, error }, `run ${state}`);
      else log.info({ state, elapsedMs }, `run ${state}`);
      return;
    }
  }
}

function nameStream({
  number,
  namespace,
  name,
}: {
  readonly number: number;
  readonly namespace: string;
  readonly name: string;
}) {
  return {
    stream: number,
    table: nameTable({ namespace, name }),
  };
}

/** Warnings are sentences; those about one partition begin with it (`partition 3/7 …`). */
function readPlace(message: string): { stream?: number; partition?: number } {
  const match = /^partition (\d+)\/(\d+) /.exec(message);
  return match ? { stream: Number(match[1]), partition: Number(match[2]) } : {};
}
