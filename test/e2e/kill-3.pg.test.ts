/** A part of the thirty seeds. */
import { describeKills } from "./support/kills.ts";

describeKills(21, 30);
