import { ledgerTest } from "./postgres-fixtures.ts";
import { testCrashes } from "./suites/crashes.ts";
import { testHistory } from "./suites/history.ts";
import { testLedger } from "./suites/ledger.ts";

testLedger(ledgerTest);
testCrashes(ledgerTest);
testHistory(ledgerTest);
