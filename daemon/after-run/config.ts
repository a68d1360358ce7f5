/** What a sync does when a run of it is over: a command, or a request to a URL. */
import { z } from "zod";
import { durationMs, parsed, text } from "../config-parsing.ts";
import { InvalidValue } from "../config-values.ts";

const ARGUMENTS_MAX = 256;
const HEADERS_MAX = 64;
const BODY_CHARACTERS_MAX = 65_536;

/** The text of a member of `body` that becomes the run. */
export const RUN_HERE = "{run}";

export type HookBody = Readonly<Record<string, z.core.util.JSONType>>;

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
    body: z
      .record(z.string(), z.json())
      .refine((body) => JSON.stringify(body).length <= BODY_CHARACTERS_MAX, {
        error: `has more than ${BODY_CHARACTERS_MAX} characters`,
      })
      .optional()
      .describe(
        'What a URL is sent in place of the run; a member "{run}" becomes the run, e.g. {logical_date: null, conf: "{run}"} for Airflow.',
      ),
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
  )
  .refine(({ body, url }) => body === undefined || url !== undefined, {
    error: "has a body, which only a url is sent",
  });

export interface AfterRunHook {
  readonly target:
    | { readonly kind: "command"; readonly command: readonly string[] }
    | {
        readonly kind: "url";
        readonly url: string;
        readonly headers: Readonly<Record<string, string>>;
        /** In place of the run; `RUN_HERE` in it stands for the run. Null: the run itself. */
        readonly body: HookBody | null;
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
    body,
    on = "success",
    timeout = TIMEOUT_MS_DEFAULT,
  }: z.output<typeof afterRunSchema>,
  folder: string,
): AfterRunHook {
  const target: AfterRunHook["target"] =
    url === undefined
      ? { kind: "command", command: command ?? [] }
      : { kind: "url", url, headers, body: body ?? null };
  return { target, on, timeoutMs: timeout, folder };
}
