/** Prints the JSON Schema of the configuration file. */
export async function runConfigSchema(): Promise<number> {
  const { buildJsonSchema } = await import("../../config.ts");
  process.stdout.write(`${JSON.stringify(buildJsonSchema(), null, 2)}\n`);
  return 0;
}
