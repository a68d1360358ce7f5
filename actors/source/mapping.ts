/** The mapper of a stream, from what the sync asks for. Loaded only where one is: most syncs copy rows as they are. */
import { meansRelation } from "../../proto/pattern.ts";
import type { Mapper } from "../../connectors/mappers/mapper.ts";
import type { MapperSettings } from "../../proto/control.ts";
import type { LogSnapshot } from "../../proto/partition.ts";
import type { StreamSchema } from "../../proto/schema.ts";

/**
 * Null where the stream travels as it is read. `snapshot`: its rows travel as those of a change log.
 * @throws ExtractError CONFIG_INVALID naming all that is wrong with the steps
 */
export async function findMapper(
  schema: StreamSchema,
  settings: MapperSettings | null,
  snapshot: LogSnapshot | null = null,
  transactionId = false,
): Promise<Mapper | null> {
  if (snapshot !== null) {
    const { createChangeMapper } =
      await import("../../connectors/mappers/change-columns.ts");
    return createChangeMapper(schema, snapshot, transactionId);
  }
  if (settings === null) return null;
  const { namespace, name } = schema;
  const steps = settings.sets
    .filter(
      ({ tables }) =>
        tables === null ||
        tables.some((pattern) =>
          meansRelation(pattern, { schema: namespace, name }),
        ),
    )
    .flatMap((set) => set.steps);
  const held = settings.heldColumns.find(
    (one) => one.namespace === namespace && one.name === name,
  );
  if (steps.length === 0 && !held) return null;
  const { createMapper } = await import("../../connectors/mappers/mapper.ts");
  const create = (all: readonly unknown[]) =>
    createMapper(schema, all as Parameters<typeof createMapper>[1], {
      mergeKey: settings.isMerged ? (schema.key ?? null) : null,
      cursor: settings.cursor,
    });
  const mapper = create(steps);
  const drop = mapper.schema.columns
    .map((column) => column.name)
    .filter((column) => held?.columns.includes(column) === false);
  if (drop.length > 0) return create([...steps, { drop }]);
  return steps.length === 0 ? null : mapper;
}
