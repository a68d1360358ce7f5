/** The keeper process. */
import { ownProcess } from "../child.ts";
import { startKeeper } from "./process.ts";

startKeeper(ownProcess());
