/**
 * A process with a trigger and nothing else. Its one argument is JSON: `ledger` (a path or a URL), `config`, `killAfter` (null,
 * or after how many records it kills itself, before their offsets are committed). It ends in good order with its stdin.
 */
import { Ledger } from "../../../checkpoint/store/ledger.ts";
import type { KafkaTriggerConfig } from "../../../daemon/triggers/config.ts";
import { startKafkaTrigger } from "../../../daemon/triggers/kafka/trigger.ts";
import { createLog, createSmallService } from "./small-service.ts";

const options = JSON.parse(process.argv[2] ?? "") as {
  readonly ledger: string;
  readonly config: KafkaTriggerConfig;
  readonly killAfter: number | null;
  readonly sessionMs: number;
};
const ledger = Ledger.open(options.ledger, { create: true });
const service = createSmallService(ledger, ["orders"]);
let recorded = 0;
service.after = () => {
  recorded += 1;
  if (recorded === options.killAfter) process.kill(process.pid, "SIGKILL");
};
const trigger = await startKafkaTrigger(service, {
  config: options.config,
  ledger,
  log: createLog(),
  sessionMs: options.sessionMs,
});
console.log("started");
process.stdin.resume();
process.stdin.once("end", () => {
  void trigger.close().then(() => {
    console.log(JSON.stringify(trigger.health().messages));
    ledger.close();
    process.exit(0);
  });
});
