import { ledgerTest } from "./postgres-fixtures.ts";
import { testQueue } from "./suites/queue.ts";
import { testSharing } from "./suites/sharing.ts";

// each step is several trips to the server
testQueue(ledgerTest, { interleavings: 5 });
testSharing(ledgerTest);
