import { useBinlog } from "./support/binlog-source.ts";
import { describeKills } from "./support/log-kills.ts";

describeKills(
  { first: 4005, seeds: 2, mode: "continuous", destination: "postgres" },
  useBinlog("mariadb"),
);
