import { test } from "./fixtures.ts";
import { testLedger } from "./suites/ledger.ts";

testLedger(test);
