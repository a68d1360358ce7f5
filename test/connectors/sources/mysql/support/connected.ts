/** `test` with `server`, a database of its own, and `connection`, which is closed after it. */
import { MysqlConnection } from "../../../../../connectors/sources/mysql/connection.ts";
import { parseSourceUrl } from "../../../../../connectors/sources/mysql/url.ts";
import { testOn, type MysqlFlavour } from "../../../../fixtures/mysql.ts";

export function testWithConnection(flavour: MysqlFlavour) {
  return testOn(flavour).extend<{ connection: MysqlConnection }>({
    connection: async ({ server }, use) => {
      const connection = await MysqlConnection.connect(
        parseSourceUrl(server.url),
      );
      await use(connection);
      await connection.close();
    },
  });
}
