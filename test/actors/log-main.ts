/** Writes one line of each level, and says on stdout whether pino was loaded for it. */
import { createRequire } from "node:module";
import { createLog } from "../../actors/log.ts";

const log = createLog("source");
log.bind({ run: "run1" });
log.write("debug", "channel opened", { channel: 2 });
log.write("info", "read again", { stream: 1, partition: 3 });
log.write("warn", "odd");
const { cache } = createRequire(import.meta.url);
const isLoaded = Object.keys(cache).some((path) => path.includes("/pino/"));
process.stdout.write(isLoaded ? "loaded" : "not loaded");
