/** A part of the seeds: the files run beside each other. */
import { describeKills } from "./support/log-kills.ts";
import { usePostgres } from "./support/logged-source.ts";

describeKills(
  { first: 1, seeds: 7, mode: "continuous", destination: "files" },
  usePostgres,
);
