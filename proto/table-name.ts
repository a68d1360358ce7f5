/** A table as people write it; sources without schemas, such as Airbyte's, have an empty namespace. */
export function nameTable({
  namespace,
  name,
}: {
  readonly namespace: string;
  readonly name: string;
}): string {
  return namespace === "" ? name : `${namespace}.${name}`;
}
