/** Our SQL Server source as an executable: what a platform asks of it, once each. */
import { askSource } from "../../e2e/support/ask-source.ts";
import { expect, test } from "../../fixtures/sqlserver.ts";

test("spec, check, discover, read", async ({ sqlserver }) => {
  await sqlserver.run(
    "CREATE TABLE dbo.People (Id bigint NOT NULL PRIMARY KEY, Name nvarchar(20) NULL, Born date NULL)",
    "INSERT INTO dbo.People (Id, Name, Born) VALUES (1, N'żółw', '2024-02-29'), (9223372036854775807, NULL, NULL)",
  );
  const answers = await askSource("source-mssql", sqlserver.url);
  expect(answers.codes, answers.text).toEqual([0, 0, 0, 0]);
  expect(answers.spec).toMatchObject({
    connectionSpecification: { properties: { port: { default: 1433 } } },
  });
  expect(answers.status).toEqual({ status: "SUCCEEDED" });
  expect(answers.streams).toMatchObject([
    {
      name: "People",
      namespace: "dbo",
      source_defined_primary_key: [["Id"]],
    },
  ]);
  expect(answers.text).toContain('"Id":9223372036854775807');
  expect(answers.rows["People"]).toMatchObject([
    { Id: 1, Name: "żółw", Born: "2024-02-29" },
    { Name: null, Born: null },
  ]);
  expect(answers.messages.at(-1)).toMatchObject({
    trace: { stream_status: { status: "COMPLETE" } },
  });
  const { password } = new URL(sqlserver.url);
  expect(answers.text).not.toContain(password);
});
