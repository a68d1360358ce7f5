/** The worker thread of one channel. */
import { availableParallelism } from "node:os";
import { workerData } from "node:worker_threads";
import { allowPageThread } from "../../connectors/formats/parquet/page-compressor.ts";
import { ownThread } from "../child.ts";
import { startDestinationChannel } from "./channel-worker.ts";
import type { DestinationWorkerData } from "./worker-messages.ts";

const data = workerData as DestinationWorkerData;
// the source needs a core as well; channels beyond that would only wait for each other's threads
if (data.channel * 2 <= availableParallelism())
  allowPageThread(
    new URL(`./page-thread${import.meta.url.slice(-3)}`, import.meta.url),
  );
startDestinationChannel(ownThread(), data);
