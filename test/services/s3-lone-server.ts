/** Starts a server, prints its process id and its folder, and waits to be killed. */
import { startS3 } from "./s3.ts";

const { pid, folder } = await startS3();
console.log(`${pid} ${folder}`);
setInterval(() => {}, 60_000);
