/** A database on MySQL or MariaDB whose log is followed while transactions go on. */
import { inject } from "vitest";
import { commitOfPlace } from "../../../connectors/sources/mysql/log-place.ts";
import { withMysqlDatabase, type MysqlFlavour } from "../../fixtures/mysql.ts";
import {
  binlogDialect,
  createBinlogTables,
  listBinlogTables,
  readBinlogSource,
} from "./binlog-workload.ts";
import { LogWorkload } from "./log-workload.ts";
import type { UseSource } from "./logged-source.ts";

/** A database of its own. */
export function useBinlog(flavour: MysqlFlavour): UseSource {
  return async (use) => {
    const { url, reason } = inject(
      flavour === "mysql" ? "mysqlServer" : "mariadbServer",
    );
    if (url === null) throw new Error(reason);
    await withMysqlDatabase(flavour, url, async (server) => {
      await createBinlogTables(server);
      await use({
        url: server.url,
        read: (table) => readBinlogSource(server, table),
        now: async () => {
          const [end] = await server.query("SHOW MASTER STATUS");
          return commitOfPlace({
            file: end.File,
            offset: Number(end.Position),
          });
        },
        work: async (seed) => {
          const work = await LogWorkload.start(server.url, seed, binlogDialect);
          return {
            get tables() {
              return listBinlogTables(server, work.linesNow);
            },
            goOn: (other) => work.goOn(other),
            pause: () => work.pause(),
            addColumn: () => work.addColumn((sql) => server.query(sql)),
            end: () => work.end(),
          };
        },
      });
    });
  };
}
