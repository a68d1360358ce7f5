/** Checks a login, and answers it. @see [MS-TDS] 3.3.5.4 "Login Ready State" */
import { findCollation } from "./types/collations.ts";
import { TDS_7_4, writeLoginAck, type Login } from "./wire/login.ts";
import { PACKET_BYTES_MAX, PACKET_BYTES_MIN } from "./wire/packets.ts";
import type { ByteSink } from "./wire/sink.ts";
import {
  doneStatus,
  tokens,
  writeByteChange,
  writeDone,
  writeMessage,
  writeTextChange,
} from "./wire/tokens.ts";

export interface LoginSettings {
  readonly user: string;
  readonly password: string;
  readonly databases: () => readonly string[];
  readonly defaultDatabase: string;
  readonly collation: string;
  /** Major, minor, build. */
  readonly version: readonly [number, number, number];
  /** Packets are at most so long, whatever is agreed. */
  readonly packetBytes: number;
}

/** Before a login packets are of this size. @see [MS-TDS] 2.2.6.4 "LOGIN7", PacketSize */
export const FIRST_PACKET_BYTES = 4096;

function refuse(
  sink: ByteSink,
  errors: readonly (readonly [number: number, message: string])[],
): null {
  for (const [number, message] of errors)
    writeMessage(sink, "error", {
      ...{ number, message },
      class: number === 4060 ? 11 : 14,
    });
  writeDone(sink, "done", doneStatus.error);
  return null;
}

/** @returns null when the login is refused; the answer is in `sink` either way */
export function answerLogin(
  sink: ByteSink,
  login: Login,
  settings: LoginSettings,
): { readonly database: string; readonly packetBytes: number } | null {
  const failure = [18456, `Login failed for user '${login.user}'.`] as const;
  if (login.user !== settings.user || login.password !== settings.password)
    return refuse(sink, [failure]);
  const wanted =
    login.database === "" ? settings.defaultDatabase : login.database;
  const database = settings
    .databases()
    .find((name) => name.toLowerCase() === wanted.toLowerCase());
  if (database === undefined) {
    const text = `Cannot open database "${wanted}" requested by the login. The login failed.`;
    return refuse(sink, [[4060, text], failure]);
  }
  const asked =
    login.packetBytes === 0 ? FIRST_PACKET_BYTES : login.packetBytes;
  const packetBytes = Math.max(
    PACKET_BYTES_MIN,
    Math.min(asked, PACKET_BYTES_MAX, settings.packetBytes),
  );
  writeTextChange(sink, "database", database, "master");
  writeMessage(sink, "info", {
    number: 5701,
    message: `Changed database context to '${database}'.`,
    state: 2,
  });
  const collation = findCollation(settings.collation).wire;
  writeByteChange(sink, "collation", collation, Buffer.alloc(0));
  writeTextChange(sink, "language", "us_english", "");
  writeLoginAck(sink, settings.version);
  const before = String(FIRST_PACKET_BYTES);
  writeTextChange(sink, "packetSize", String(packetBytes), before);
  if (login.hasFeatures && login.tdsVersion >= TDS_7_4)
    sink.u8(tokens.featureExtAck).u8(0xff);
  writeDone(sink, "done", doneStatus.final);
  return { database, packetBytes };
}
