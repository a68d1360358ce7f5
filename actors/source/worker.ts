/** The worker thread of one channel. */
import { workerData } from "node:worker_threads";
import { ownThread } from "../child.ts";
import { startSourceChannel } from "./channel-worker.ts";
import type { SourceWorkerData } from "./worker-messages.ts";

startSourceChannel(ownThread(), workerData as SourceWorkerData);
