import { describeKillsWithWriter } from "./support/kills.ts";

describeKillsWithWriter(101, process.env["MILLRACE_TEST_FULL"] ? 104 : 102);
