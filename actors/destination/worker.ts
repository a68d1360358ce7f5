/** The worker thread of one channel. */
import { workerData } from "node:worker_threads";
import { ownThread } from "../child.ts";
import { startDestinationChannel } from "./channel-worker.ts";
import type { DestinationWorkerData } from "./worker-messages.ts";

startDestinationChannel(ownThread(), workerData as DestinationWorkerData);
