/** Functions about objects: OBJECT_ID, COLUMNPROPERTY and their like. @see SQL Server docs, "Metadata functions" */
import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import { WordReader } from "../sql/reader.ts";
import { findCollation } from "../types/collations.ts";
import {
  declareType,
  describeType,
  formatTypeName,
  listTypes,
} from "../types/types.ts";
import type { Catalogue, Table } from "./catalogue.ts";

type Value = SQLOutputValue;

export function addCatalogueFunctions(
  db: DatabaseSync,
  catalogue: Catalogue,
): void {
  const add = (
    name: string,
    of: (...args: Value[]) => string | number | null | undefined,
  ) =>
    db.function(
      name,
      { varargs: true },
      (...args: Value[]) => of(...args) ?? null,
    );
  const byId = (id: Value) => catalogue.findById(Number(id));
  const byName = (name: Value): Table | null => {
    if (name === null) return null;
    try {
      return catalogue.find(new WordReader(String(name)).path());
    } catch {
      return null;
    }
  };
  add("object_id", (name) => byName(name ?? null)?.id);
  add("object_name", (id) => byId(id ?? null)?.name);
  add("object_schema_name", (id) => byId(id ?? null)?.schema);
  add("schema_id", (name) =>
    name === undefined ? 1 : catalogue.findSchema(String(name))?.id,
  );
  add("schema_name", (id) =>
    id === undefined
      ? "dbo"
      : catalogue.schemas.find((schema) => schema.id === Number(id))?.name,
  );
  add("type_name", (id) => {
    const type = listTypes().find(
      (t) => describeType(t).userTypeId === Number(id),
    );
    return type === undefined ? null : formatTypeName(type);
  });
  add("type_id", (name) => {
    try {
      return describeType(declareType(String(name), [])).userTypeId;
    } catch {
      return null;
    }
  });
  add(
    "col_name",
    (id, columnId) =>
      byId(id ?? null)?.columns.find((c) => c.id === Number(columnId))?.name,
  );
  add("column_property", (id, name, property) => {
    const column = byId(id ?? null)?.columns.find(
      (c) => c.name.toLowerCase() === String(name).toLowerCase(),
    );
    if (column === undefined) return null;
    const properties: Record<string, number> = {
      isidentity: Number(column.identity !== null),
      iscomputed: 0,
      allowsnull: Number(column.nullable),
      ishidden: 0,
      columnid: column.id,
    };
    return properties[String(property).toLowerCase()];
  });
  add("object_property", (id, property) => {
    const table = byId(id ?? null);
    if (table === null) return null;
    const has = (kind: string) =>
      Number(table.indexes.some((i) => i.kind === kind));
    const properties: Record<string, number> = {
      isusertable: Number(table.query === null),
      istable: Number(table.query === null),
      isview: Number(table.query !== null),
      ismsshipped: 0,
      tablehasprimarykey: has("primaryKey"),
      tablehasclustindex: Number(table.indexes.some((i) => i.id === 1)),
      tablehasidentity: Number(table.columns.some((c) => c.identity !== null)),
    };
    return properties[String(property).toLowerCase()];
  });
  add("index_col", (name, indexId, position) => {
    const table = byName(name ?? null);
    const key = table?.indexes.find((i) => i.id === Number(indexId))?.keys[
      Number(position) - 1
    ];
    return table?.columns.find((c) => c.id === key?.columnId)?.name;
  });
  add("index_property", (id, name, property) => {
    const index = byId(id ?? null)?.indexes.find(
      (i) => i.name.toLowerCase() === String(name).toLowerCase(),
    );
    if (index === undefined) return null;
    const properties: Record<string, number> = {
      isclustered: Number(index.id === 1),
      isunique: Number(index.unique),
      indexid: index.id,
    };
    return properties[String(property).toLowerCase()];
  });
  add("collation_property", (name, property) => {
    if (name === null || name === undefined) return null;
    const collation = findCollation(String(name));
    if (String(property).toLowerCase() === "codepage") {
      const { codePage } = collation;
      if (codePage === "utf-8") return 65_001;
      const pages: Record<string, number> = {
        big5: 950,
        gbk: 936,
        shift_jis: 932,
        "euc-kr": 949,
      };
      return pages[codePage] ?? Number(codePage.replace("windows-", ""));
    }
    return String(property).toLowerCase() === "lcid"
      ? collation.wire.readUIntLE(0, 3) & 0xfffff
      : null;
  });
  add("parse_name", (name, part) => {
    try {
      return new WordReader(String(name)).path().at(-Number(part));
    } catch {
      return null;
    }
  });
  add("has_permission", () => 1);
}
