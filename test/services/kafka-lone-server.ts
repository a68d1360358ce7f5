/** Starts a broker, prints its process id and its folder, and waits to be killed. */
import { startKafka } from "./kafka.ts";

const { pid, folder } = await startKafka();
console.log(`${pid} ${folder}`);
setInterval(() => {}, 60_000);
