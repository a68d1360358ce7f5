/** The four questions that a platform asks a source of ours, one after the other. */
import { configure, Platform, type Message } from "./airbyte.ts";

export interface SourceAnswers {
  readonly spec: unknown;
  readonly status: unknown;
  readonly streams: readonly {
    readonly name: string;
    readonly namespace?: string;
    readonly source_defined_primary_key?: readonly (readonly string[])[];
  }[];
  /** Of the read, by the names of the streams. */
  readonly rows: Readonly<Record<string, readonly unknown[]>>;
  readonly messages: readonly Message[];
  /** Of the four commands. */
  readonly codes: readonly (number | null)[];
  /** All that was written. */
  readonly text: string;
}

/** @param url of the server, with user, password and options */
export async function askSource(
  name: "source-mysql" | "source-mssql",
  url: string,
): Promise<SourceAnswers> {
  const platform = new Platform();
  try {
    const { hostname, port, pathname, username, password, search } = new URL(
      url,
    );
    const config = platform.write("config", {
      host: hostname,
      port: Number(port),
      database: decodeURIComponent(pathname.slice(1)),
      username: decodeURIComponent(username),
      password: decodeURIComponent(password),
      url_params: search.slice(1),
    });
    const ask = (...words: string[]) => platform.start(name, words).ended;
    const [spec, check, discover] = await Promise.all([
      ask("spec"),
      ask("check", "--config", config),
      ask("discover", "--config", config),
    ]);
    const catalog = platform.write("catalog", configure(discover.messages));
    const read = await ask("read", "--config", config, "--catalog", catalog);
    const asked = [spec, check, discover, read];
    const rows: Record<string, unknown[]> = {};
    for (const { record } of read.messages) {
      if (record === undefined) continue;
      const { stream, data } = record as { stream: string; data: unknown };
      (rows[stream] ??= []).push(data);
    }
    const bodyOf = (messages: readonly Message[], type: string, key: string) =>
      messages.find((message) => message.type === type)?.[key];
    const found = bodyOf(discover.messages, "CATALOG", "catalog") as
      | { readonly streams: SourceAnswers["streams"] }
      | undefined;
    return {
      spec: bodyOf(spec.messages, "SPEC", "spec"),
      status: bodyOf(check.messages, "CONNECTION_STATUS", "connectionStatus"),
      streams: found?.streams ?? [],
      rows,
      messages: read.messages,
      codes: asked.map(({ code }) => code),
      text: asked.map(({ stdout, stderr }) => stdout + stderr).join(""),
    };
  } finally {
    platform.dispose();
  }
}
