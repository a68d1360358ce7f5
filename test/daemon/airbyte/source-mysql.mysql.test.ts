/** Our MySQL source as an executable: what a platform asks of it, once each. */
import { describe, expect } from "vitest";
import { askSource } from "../../e2e/support/ask-source.ts";
import { flavours, testOn } from "../../fixtures/mysql.ts";

describe.each(flavours)("%s", (flavour) => {
  testOn(flavour)("spec, check, discover, read", async ({ server }) => {
    await server.query(
      "CREATE TABLE people (id bigint unsigned PRIMARY KEY, name varchar(20), amount decimal(12, 2), born date)",
    );
    await server.query(
      "INSERT INTO people VALUES (1, 'żółw', 0.10, '2024-02-29'), (18446744073709551615, NULL, NULL, NULL)",
    );
    const answers = await askSource("source-mysql", server.url);
    expect(answers.codes, answers.text).toEqual([0, 0, 0, 0]);
    expect(answers.spec).toMatchObject({
      connectionSpecification: { properties: { port: { default: 3306 } } },
    });
    expect(answers.status).toEqual({ status: "SUCCEEDED" });
    expect(answers.streams).toMatchObject([
      {
        name: "people",
        namespace: server.database,
        source_defined_primary_key: [["id"]],
      },
    ]);
    expect(answers.text).toContain('"id":18446744073709551615');
    expect(answers.rows["people"]).toMatchObject([
      { id: 1, name: "żółw", amount: 0.1, born: "2024-02-29" },
      { name: null, amount: null, born: null },
    ]);
    expect(answers.messages.at(-1)).toMatchObject({
      trace: { stream_status: { status: "COMPLETE" } },
    });
    const { password } = new URL(server.url);
    if (password !== "") expect(answers.text).not.toContain(password);
  });
});
