/** Asks the doctor, a process of its own: drivers are none of the bookkeeper's. */
import { spawn } from "node:child_process";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import type { DoctorAnswer, DoctorRequest } from "../actors/doctor/findings.ts";
import { ExtractError, fromWireError, type WireError } from "../proto/error.ts";

/** A server that does not answer is given up on by its own connect timeout, long before this. */
const ANSWER_MS_MAX = 120_000;

const script = fileURLToPath(
  new URL(`../actors/doctor/main${import.meta.url.slice(-3)}`, import.meta.url),
);

/** @throws ExtractError USAGE for a URL that is no source's; PROCESS_DIED */
export async function askDoctor(request: DoctorRequest): Promise<DoctorAnswer> {
  const child = spawn(process.execPath, [...process.execArgv, script], {
    stdio: ["pipe", "pipe", "inherit"],
    timeout: ANSWER_MS_MAX,
  });
  // it may be gone before it has heard us; that its answer is none says so
  child.stdin.on("error", () => {});
  child.stdin.end(JSON.stringify(request));
  const exited = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) =>
      resolve(signal ?? `exit code ${code}`),
    );
  });
  const said = await text(child.stdout);
  const reason = await exited;
  const reply = parseReply(said);
  if (reply.answer !== undefined) return reply.answer;
  throw reply.error === undefined
    ? new ExtractError(
        "PROCESS_DIED",
        `the doctor's process ended early: ${reason}`,
        { role: "doctor" },
      )
    : fromWireError(reply.error);
}

interface Reply {
  readonly answer?: DoctorAnswer;
  readonly error?: WireError;
}

function parseReply(said: string): Reply {
  try {
    return JSON.parse(said) as Reply;
  } catch {
    return {};
  }
}
