import { test } from "./fixtures.ts";
import { testQueue } from "./suites/queue.ts";
import { testSharing } from "./suites/sharing.ts";

testQueue(test, { interleavings: 40 });
testSharing(test);
