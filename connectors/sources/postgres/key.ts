/** The key that a stream's ranges can be cut on. Pure. */
import type { UsableKey } from "../source.ts";
import type { KeyRow } from "./catalog.ts";

/** float4, float8 and money: their text depends on a rounding or on the server's locale. */
const inexactOids: ReadonlySet<number> = new Set([700, 701, 790]);

/** Ranges, arrays and composites may hold a float inside. */
function isExact(column: KeyRow["columns"][number]): boolean {
  const isScalar = column.typeKind === "b" || column.typeKind === "e";
  return (
    isScalar &&
    column.typeCategory !== "A" &&
    !inexactOids.has(column.baseTypeOid)
  );
}

/** Names hold any character but NUL. */
function nameColumns(key: KeyRow): string {
  return key.columns.map((column) => column.name).join("\0");
}

/**
 * The best key that every leaf has on the same columns: the primary one, else that with the fewest columns, else the
 * first by name. Null where the leaves have none in common; a parent's key does not hold for inheriting children.
 * @param keysOfLeaves the usable keys of each leaf
 * @param readable columns that may be read: a key with others cannot be asked for
 */
export function chooseKey(
  keysOfLeaves: readonly (readonly KeyRow[])[],
  readable: ReadonlySet<string>,
): UsableKey | null {
  const [first, ...others] = keysOfLeaves;
  if (first === undefined) return null;
  const elsewhere = others.map(
    (keys) => new Map(keys.map((key) => [nameColumns(key), key])),
  );
  const common = first.flatMap((key) => {
    const twins = elsewhere.map((keys) => keys.get(nameColumns(key)));
    if (twins.includes(undefined)) return [];
    if (!key.columns.every((column) => readable.has(column.name))) return [];
    const primary = key.primary && twins.every((twin) => twin?.primary);
    return [{ key, primary }];
  });
  const [best] = common.sort(
    (a, b) =>
      Number(b.primary) - Number(a.primary) ||
      a.key.columns.length - b.key.columns.length ||
      (a.key.name < b.key.name ? -1 : 1),
  );
  if (best === undefined) return null;
  return {
    name: best.key.name,
    primary: best.primary,
    columns: best.key.columns.map((column) => ({
      name: column.name,
      type: column.type,
      exact: isExact(column),
    })),
  };
}
