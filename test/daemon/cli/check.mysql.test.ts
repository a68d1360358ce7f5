import { describe, expect, flavours, testOn } from "../../fixtures/mysql.ts";
import { runCommand } from "../../fixtures/run-sync.ts";

describe.each(flavours)("%s", (flavour) => {
  testOn(flavour)(
    "is named by `check` with its version",
    async ({ server }) => {
      await server.query("CREATE TABLE orders (id int PRIMARY KEY)");
      const { exitCode, stdout } = await runCommand(["check", server.url]);
      const { serverVersion: version } = server;
      const parts = [version / 10_000, (version / 100) % 100, version % 100];
      const name = { mysql: "MySQL", mariadb: "MariaDB" }[flavour];
      expect(stdout).toContain(
        `${name} ${parts.map(Math.trunc).join(".")}, 1 table can be read`,
      );
      expect(exitCode).toBe(0);
    },
  );
});
