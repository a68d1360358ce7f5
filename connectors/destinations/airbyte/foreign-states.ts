/**
 * The states that a connector of somebody else was given and has not given back, by stream. Over stdio a state says that
 * all before it is durable; over sockets, where they overtake each other, each speaks for itself. Pure.
 */
import { ExtractError } from "../../../proto/error.ts";
import type { AirbyteState } from "../../airbyte/messages.ts";
import type { StateToken } from "../../airbyte/state-token.ts";

interface Sent {
  readonly index: number;
  readonly rows: number;
}

interface StreamStates {
  /** In the order in which they were sent. */
  sent: Sent[];
  /** Back before we knew that they had left. */
  readonly early: Map<number, AirbyteState>;
  readonly settled: Set<number>;
}

export class ForeignStates {
  readonly #isCumulative: boolean;
  readonly #streams = new Map<number, StreamStates>();

  constructor(isCumulative: boolean) {
    this.#isCumulative = isCumulative;
  }

  /** A checkpoint's rows and its state have left. @returns the checkpoints that are durable by now */
  noteSent(stream: number, sent: Sent): readonly number[] {
    const states = this.#of(stream);
    states.sent.push(sent);
    const early = states.early.get(sent.index);
    if (!early) return [];
    states.early.delete(sent.index);
    return this.#settle(states, stream, sent.index, early);
  }

  /**
   * A state is back. @returns the checkpoints that are durable by that
   * @throws ExtractError CONNECTOR_MESSAGE_INVALID for one that is back already, or out of its order;
   *   CONNECTOR_COUNT_MISMATCH where the connector has counted other records
   */
  noteBack(
    { stream, index }: StateToken,
    state: AirbyteState,
  ): readonly number[] {
    const states = this.#of(stream);
    if (states.settled.has(index) || states.early.has(index))
      throw new ExtractError(
        "CONNECTOR_MESSAGE_INVALID",
        `the destination gave state ${index} of stream ${stream} back a second time, or behind a later one`,
        { stream, index },
      );
    if (states.sent.some((one) => one.index === index))
      return this.#settle(states, stream, index, state);
    states.early.set(index, state);
    return [];
  }

  /** The oldest that is not back; null: all are. */
  get missing(): { readonly stream: number; readonly index: number } | null {
    for (const [stream, { sent }] of this.#streams)
      if (sent[0]) return { stream, index: sent[0].index };
    return null;
  }

  /** A state that came back and was never sent. */
  get stray(): { readonly stream: number; readonly index: number } | null {
    for (const [stream, { early }] of this.#streams)
      for (const index of early.keys()) return { stream, index };
    return null;
  }

  #of(stream: number): StreamStates {
    const known = this.#streams.get(stream);
    if (known) return known;
    const fresh = { sent: [], early: new Map(), settled: new Set<number>() };
    this.#streams.set(stream, fresh);
    return fresh;
  }

  #settle(
    states: StreamStates,
    stream: number,
    index: number,
    state: AirbyteState,
  ): readonly number[] {
    const place = states.sent.findIndex((one) => one.index === index);
    const covered = this.#isCumulative
      ? states.sent.slice(0, place + 1)
      : states.sent.slice(place, place + 1);
    checkCount(stream, index, covered, state);
    states.sent = states.sent.filter((one) => !covered.includes(one));
    for (const one of covered) states.settled.add(one.index);
    return covered.map((one) => one.index);
  }
}

function checkCount(
  stream: number,
  index: number,
  covered: readonly Sent[],
  { destinationStats }: AirbyteState,
): void {
  const counted = destinationStats?.recordCount;
  const rejected = destinationStats?.rejectedRecordCount ?? 0;
  const rows = covered.reduce((sum, one) => sum + one.rows, 0);
  if (rejected === 0 && (counted === undefined || counted === rows)) return;
  throw new ExtractError(
    "CONNECTOR_COUNT_MISMATCH",
    `state ${index} of stream ${stream} covers ${rows} records, and the destination says that it has ${counted ?? "some"} and rejected ${rejected}`,
    {
      stream,
      index,
      sent: rows,
      counted: counted ?? null,
      rejected,
    },
  );
}
