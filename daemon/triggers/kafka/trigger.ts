/** Runs triggered by a Kafka topic: the machine with its effects, and what the daemon asks of it. */
import { strict as assert } from "node:assert";
import {
  setImmediate as breathe,
  setTimeout as sleep,
} from "node:timers/promises";
import { createActor, fromPromise, waitFor } from "xstate";
import type { Ledger } from "../../../checkpoint/store/ledger.ts";
import { queueTriggerMachine } from "../../../actors/daemon/queue-trigger.machine.ts";
import { fromWireError, toWireError } from "../../../proto/error.ts";
import type { DaemonService } from "../../service/types.ts";
import type { KafkaTriggerConfig } from "../config.ts";
import type { ResultLedger } from "../result-memory.ts";
import type { TriggerHealth } from "../trigger-health.ts";
import { createClient, type TriggerLog } from "./client.ts";
import { Connection, SESSION_MS_DEFAULT } from "./connection.ts";
import { writeDeadLetter } from "./dead-letter.ts";
import { nameClient } from "./group.ts";
import { Publisher } from "./publisher.ts";
import { recordBatch, type Recorder } from "./record-batch.ts";
import { Sender } from "./sender.ts";

/** How long a close waits for results on their way. */
const RESULTS_WAIT_MS = 5_000;
/** How long a start waits to be told that the group is not for this daemon. */
const FIRST_ATTEMPT_MS_MAX = 10_000;
/** How long a stop waits for a connection that is just being made. */
const ABORT_MS_MAX = 2_000;

export interface KafkaTriggerSettings {
  readonly config: KafkaTriggerConfig;
  readonly ledger: ResultLedger & Pick<Ledger, "forgetMessages">;
  readonly log: TriggerLog;
  /** Silence after which a member counts as dead; null: 30 s. The broker has bounds for it. */
  readonly sessionMs?: number | null;
}

export interface KafkaTrigger {
  health(): TriggerHealth;
  /** Consumes no more; results are still sent. For a daemon whose runs come to their end. */
  drain(): Promise<void>;
  /** Drains, sends the results that wait, for some seconds at most, and leaves. */
  close(): Promise<void>;
}

/**
 * Begins to consume. Brokers that are away are no reason to fail: the trigger tries again and says so.
 * @throws ExtractError KAFKA_GROUP_FOREIGN where the group is found to have members with another ledger
 */
export async function startKafkaTrigger(
  service: Pick<DaemonService, "id" | "trigger" | "settled" | "subscribe">,
  { config, ledger, log, sessionMs }: KafkaTriggerSettings,
): Promise<KafkaTrigger> {
  const names = { topic: config.topic, group: config.group };
  const clientId = nameClient(config.clientId, {
    ledgerId: ledger.id,
    daemonId: service.id,
  });
  const kafka = createClient(config, clientId, log);
  const sender = new Sender(kafka);
  const messages = { queued: 0, coalesced: 0, known: 0, deadLettered: 0 };
  let partitions: readonly number[] = [];
  let connection: Connection | null = null;
  /** Nothing is recorded unless the machine is consuming. */
  let isHeld = true;

  const recorder: Recorder = {
    format: config.format,
    trigger: (order) => service.trigger(order),
    settled: () => service.settled(),
    bury: (from, message, reason) =>
      sender.send(config.deadLetterTopic, [
        writeDeadLetter(from, message, reason),
      ]),
    isHeld: () => isHeld,
    refuse: (error) => {
      if (isHeld) return;
      isHeld = true;
      connection?.pause();
      actor.send({ type: "record.refused", error });
    },
    recorded: (result) => {
      messages[result] += 1;
      actor.send({ type: "message.recorded" });
    },
    buried: (reason, place) => {
      messages.deadLettered += 1;
      actor.send({ type: "message.recorded" });
      log.warn({ ...names, place }, `a message triggers nothing: ${reason}`);
    },
  };

  let opening: Promise<unknown> = Promise.resolve();
  let leaving: Promise<void> = Promise.resolve();
  const leave = (): Promise<void> => {
    isHeld = true;
    leaving = leaving.then(async () => {
      await Promise.race([opening, sleep(ABORT_MS_MAX, null, { ref: false })]);
      const left = connection;
      connection = null;
      partitions = [];
      await left?.close();
    });
    return leaving;
  };
  const open = async (signal: AbortSignal): Promise<void> => {
    await leave();
    signal.throwIfAborted();
    const opened = Connection.open(
      kafka,
      {
        config,
        ledgerId: ledger.id,
        sessionMs: sessionMs ?? SESSION_MS_DEFAULT,
        handle: (payload) => recordBatch(recorder, payload),
        lost: (error) =>
          actor.send({ type: "connection.lost", error: toWireError(error) }),
        foreign: (error) =>
          actor.send({ type: "group.foreign", error: toWireError(error) }),
        oldest: async (partition, offset) => {
          const place = { topic: config.topic, partition, offset };
          while (!ledger.forgetMessages({ ...place, writtenAt: null }).isAll)
            await breathe();
        },
        assigned: (now) => (partitions = now),
      },
      signal,
    );
    opening = opened.then(
      (ready) => (connection = ready),
      () => {},
    );
    await opened;
  };

  const actor = createActor(
    queueTriggerMachine.provide({
      actors: {
        connect: fromPromise<void>(({ signal }) => open(signal)),
        disconnect: fromPromise<void>(leave),
      },
      actions: {
        resumeFetching: () => {
          isHeld = false;
          connection?.resume();
        },
        leaveGroup: () => void leave(),
      },
    }),
  );
  let since = Date.now();
  let state = actor.getSnapshot().value;
  actor.subscribe(({ value, context: { error } }) => {
    if (value === state) return;
    state = value;
    since = Date.now();
    const fields = { ...names, state: value, code: error?.code ?? null };
    if (error) log.warn(fields, `kafka trigger ${value}: ${error.message}`);
    else log.info(fields, `kafka trigger ${value}`);
  });
  actor.start();
  const stopConsuming = async (): Promise<void> => {
    if (actor.getSnapshot().status === "active")
      actor.send({ type: "trigger.stop" });
    await waitFor(actor, ({ status }) => status !== "active");
    await leaving;
  };

  const publisher =
    config.resultTopic === null
      ? null
      : new Publisher(sender, {
          topic: config.resultTopic,
          format: config.format,
          ledger,
          log,
        });
  const unsubscribe = service.subscribe((event) => publisher?.observe(event));

  const close = async (): Promise<void> => {
    await stopConsuming();
    unsubscribe();
    await publisher?.close(RESULTS_WAIT_MS);
    await sender.close();
  };
  // brokers that do not answer at all are no reason to wait for long
  await Promise.race([
    waitFor(actor, (now) => !now.matches("connecting")),
    sleep(FIRST_ATTEMPT_MS_MAX, null, { ref: false }),
  ]);
  const first = actor.getSnapshot();
  if (first.matches("refused")) {
    await close();
    assert(first.context.error, "a refusal has a reason");
    throw fromWireError(first.context.error);
  }
  return {
    health: () => ({
      kind: "kafka",
      state,
      since,
      error: actor.getSnapshot().context.error,
      ...names,
      partitions,
      messages: { ...messages },
      results: publisher?.health() ?? null,
    }),
    drain: stopConsuming,
    close,
  };
}
