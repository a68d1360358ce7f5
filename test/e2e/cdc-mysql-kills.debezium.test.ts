import { useBinlog } from "./support/binlog-source.ts";
import { describeKills } from "./support/log-kills.ts";

describeKills(
  { first: 3001, seeds: 2, mode: "cdc", destination: "files" },
  useBinlog("mysql"),
);
