/** Questions that a connector answers with one message: what it wants to know, whether it can work, what it has. */
import { ExtractError } from "../../proto/error.ts";
import {
  describeExit,
  startConnector,
  type ConnectorStart,
} from "./connector-process.ts";
import { fromTraceError } from "./errors.ts";
import { MessageLines } from "./lines.ts";
import { readMessage, type AirbyteMessage } from "./messages.ts";

/** A catalog of ten thousand tables has some tens of megabytes. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;

const answers = {
  spec: "SPEC",
  check: "CONNECTION_STATUS",
  discover: "CATALOG",
} as const;

type Verb = keyof typeof answers;
type Answer<V extends Verb> = Extract<
  AirbyteMessage,
  { type: (typeof answers)[V] }
>;

export interface Question<V extends Verb> extends Pick<
  ConnectorStart,
  "program" | "role" | "files"
> {
  readonly verb: V;
  readonly deadlineMs: number;
  onLog(line: string): void;
}

/**
 * @throws ExtractError CONNECTOR_NOT_STARTED, CONNECTOR_SILENT, CONNECTOR_MESSAGE_INVALID, and what the connector says
 * of its failure
 */
export async function askConnector<V extends Verb>(
  question: Question<V>,
): Promise<Answer<V>> {
  const { verb, deadlineMs, role, program, onLog } = question;
  const connector = await startConnector({
    ...question,
    stdin: "ignore",
    onStderr: onLog,
  });
  const late = new ExtractError(
    "CONNECTOR_SILENT",
    `the ${role} has not answered \`${verb}\` within ${deadlineMs / 1_000} s`,
  );
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    void connector.end();
  }, deadlineMs);
  let answer: AirbyteMessage | null = null;
  let failure: ExtractError | null = null;
  try {
    const lines = new MessageLines(ANSWER_BYTES_MAX);
    const take = (line: Buffer): void => {
      const message = readMessage(line.toString("utf8"));
      if (message.type === answers[verb]) answer = message as AirbyteMessage;
      else if (message.type === "LOG") onLog(message.log.message);
      else if (message.type === "NONE") onLog(message.text);
      else if (message.type === "TRACE" && message.trace.error)
        failure ??= fromTraceError(message.trace.error, role);
    };
    for await (const chunk of connector.stdout as AsyncIterable<Buffer>)
      for (const line of lines.cut(chunk)) if (line.length > 0) take(line);
    const rest = lines.rest();
    if (rest.length > 0) take(rest);
  } catch (error) {
    await connector.end();
    throw isLate ? late : error;
  } finally {
    clearTimeout(timer);
  }
  const exit = await connector.exited;
  if (isLate) throw late;
  // a check that fails says so, and some connectors end by an error then
  if (answer !== null) return answer;
  throw failure ?? describeExit(connector, exit, { role, program });
}
