/** A third of the seeds: the files run beside each other. */
import { describeKills } from "./support/log-kills.ts";

describeKills(1);
