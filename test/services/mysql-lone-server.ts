/** Starts a server of the flavour that is named, prints its process id and its folder, and waits to be killed. */
import { startMysql } from "./mysql.ts";

const { pid, folder } = await startMysql({
  flavour: process.argv[2] === "mariadb" ? "mariadb" : "mysql",
});
console.log(`${pid} ${folder}`);
setInterval(() => {}, 60_000);
