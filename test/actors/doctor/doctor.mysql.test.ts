import type { Finding } from "../../../actors/doctor/findings.ts";
import { checkSource } from "../../../actors/doctor/source.ts";
import { startMysql } from "../../services/mysql.ts";
import { describe, expect, flavours, testOn } from "../../fixtures/mysql.ts";

function summarise(findings: readonly Finding[]): Record<string, string> {
  return Object.fromEntries(findings.map(({ name, state }) => [name, state]));
}

const all = { tables: [], exclude: [] };

describe.each(flavours)("%s", (flavour) => {
  const test = testOn(flavour);

  test("a server that is set up for it is well, and a user without rights is told the grant that mends it", async ({
    server,
  }) => {
    await server.query(
      "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int)",
    );
    const mine = await checkSource({ url: server.url, ...all });
    expect(summarise(mine)).toMatchObject({
      log_bin: "ok",
      binlog_format: "ok",
      binlog_row_image: "ok",
      grants: "ok",
      keys: "note",
      types: "ok",
    });
    if (flavour === "mariadb") {
      await server.query("CREATE TABLE c (id int PRIMARY KEY, peer inet6)");
      const tables = await checkSource({ url: server.url, ...all });
      const types = tables.find(({ name }) => name === "types");
      expect(types?.detail).toContain(`${server.database}.c.peer (inet6)`);
      const exclude = types?.remedy?.replace("--exclude ", "") ?? "";
      const without = { ...all, exclude: [exclude] };
      const rest = await checkSource({ url: server.url, ...without });
      expect(summarise(rest)["types"]).toBe("ok");
    }
    const user = await server.createUser([`SELECT ON ${server.database}.*`]);
    const before = await checkSource({ url: user.url, ...all });
    const grants = before.find(({ name }) => name === "grants");
    expect(grants?.state).toBe("missing");
    await server.query(grants?.remedy ?? "");
    const after = await checkSource({ url: user.url, ...all });
    expect(summarise(after)["grants"]).toBe("ok");
  });

  test("a log of statements, or none, is told", async () => {
    const service = await startMysql({
      flavour,
      settings: [
        "binlog-format=STATEMENT",
        "binlog-row-image=MINIMAL",
        ...(flavour === "mariadb" ? ["log-bin-compress=ON"] : []),
      ],
    });
    try {
      const url = service.url.replace(/mysql$/, "sys");
      const findings = await checkSource({
        url: flavour === "mysql" ? url : service.url,
        ...all,
      });
      expect(summarise(findings)).toMatchObject({
        binlog_format: "missing",
        binlog_row_image: "missing",
        log_bin_compress: flavour === "mariadb" ? "missing" : "ok",
      });
    } finally {
      await service.stop();
    }
  });
});
