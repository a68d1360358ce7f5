import { test } from "./fixtures.ts";
import { testHistory } from "./suites/history.ts";

testHistory(test);
