/** A part of the thirty seeds. */
import { describeKills } from "./support/kills.ts";

describeKills(11, 20);
