/** What a sync does when a run of it is over: a command, or a request to a URL. */
import { z } from "zod";
import { durationMs, parsed, text } from "../config-parsing.ts";
import { InvalidValue } from "../config-values.ts";

const ARGUMENTS_MAX = 256;
const HEADERS_MAX = 64;
const TIMEOUT_MS_DEFAULT = 600_000;
const TIMEOUT_MS_MIN = 1_000;

function parseHookUrl(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : null;
  if (url?.protocol === "http:" || url?.protocol === "https:") return value;
  throw new InvalidValue("is no http:// or https:// URL");
}

export const afterRunSchema = z
  .strictObject({
    command: z
      .array(text)
      .min(1)
      .max(ARGUMENTS_MAX)
      .optional()
      .describe(
        "Program and arguments, without a shell. It reads the run as JSON on its standard input, and finds MILLRACE_SYNC, MILLRACE_RUN_ID and MILLRACE_STATE in its environment.",
      ),
    url: parsed(text, parseHookUrl)
      .optional()
      .describe("Is sent the run as JSON, by POST."),
    headers: z
      .record(text, text)
      .refine((headers) => Object.keys(headers).length <= HEADERS_MAX)
      .optional()
      .meta({
        secret: true,
        description: "Of the request, e.g. Authorization: ${DBT_TOKEN}.",
      }),
    on: z
      .enum(["success", "failure", "always"])
      .optional()
      .describe("After which runs. Default: success."),
    timeout: durationMs(TIMEOUT_MS_MIN)
      .optional()
      .describe("How long it may take. Default: 10m."),
  })
  .refine(
    ({ command, url }) => (command === undefined) !== (url === undefined),
    {
      error: "wants either a command or a url",
    },
  );

export interface AfterRunHook {
  readonly target:
    | { readonly kind: "command"; readonly command: readonly string[] }
    | {
        readonly kind: "url";
        readonly url: string;
        readonly headers: Readonly<Record<string, string>>;
      };
  readonly on: "success" | "failure" | "always";
  readonly timeoutMs: number;
  /** Folder in which a command starts: that of the configuration. */
  readonly folder: string;
}

export function readAfterRun(
  {
    command,
    url,
    headers = {},
    on = "success",
    timeout = TIMEOUT_MS_DEFAULT,
  }: z.output<typeof afterRunSchema>,
  folder: string,
): AfterRunHook {
  const target: AfterRunHook["target"] =
    url === undefined
      ? { kind: "command", command: command ?? [] }
      : { kind: "url", url, headers };
  return { target, on, timeoutMs: timeout, folder };
}
