/** The doctor's process: one request as JSON on stdin, since it can hold a password, one answer as JSON on stdout. */
import { text } from "node:stream/consumers";
import { toWireError } from "../../proto/error.ts";
import type { DoctorAnswer, DoctorRequest } from "./findings.ts";
import { checkMachine } from "./machine.ts";

async function examine(request: DoctorRequest): Promise<DoctorAnswer> {
  const machine = await checkMachine(process.env);
  const { url } = request;
  if (url === null) return { machine, source: null };
  const { checkSource } = await import("./source.ts");
  return { machine, source: await checkSource({ ...request, url }) };
}

try {
  const request = JSON.parse(await text(process.stdin)) as DoctorRequest;
  const answer = await examine(request);
  process.stdout.write(JSON.stringify({ answer }));
} catch (error) {
  process.stdout.write(JSON.stringify({ error: toWireError(error) }));
}
