/** What a stream is called at the destination: a sync's own rule, before the destination lays out folders or tables. Pure. */
import { ExtractError } from "../proto/error.ts";
import { nameTable } from "../proto/table-name.ts";

export interface NamingRule {
  /** `{namespace}` stands for the source's; without it, all streams come into this one. */
  readonly namespace: string;
  /** In front of each stream's name. */
  readonly streamPrefix: string;
  /** What stands for no namespace, which streams of a foreign source may be in. Left out: `UNNAMED`. */
  readonly unnamed?: string;
}

/** Folders and schemas have names. */
const UNNAMED = "public";

export const namesOfSource: NamingRule = {
  namespace: "{namespace}",
  streamPrefix: "",
};

interface StreamName {
  readonly namespace: string;
  readonly name: string;
}

export function nameAtDestination(
  rule: NamingRule,
  { namespace, name }: StreamName,
): StreamName {
  return {
    namespace:
      rule.namespace.replaceAll("{namespace}", () => namespace) ||
      (rule.unnamed ?? UNNAMED),
    name: `${rule.streamPrefix}${name}`,
  };
}

/** @throws ExtractError CONFIG_INVALID naming two streams that would be written under one name */
export function checkNames(
  rule: NamingRule,
  streams: readonly StreamName[],
): void {
  const sources = new Map<string, StreamName>();
  for (const stream of streams) {
    const target = nameAtDestination(rule, stream);
    const key = JSON.stringify([target.namespace, target.name]);
    const other = sources.get(key);
    if (other) {
      throw new ExtractError(
        "CONFIG_INVALID",
        `${nameTable(other)} and ${nameTable(stream)} would both be written as ${nameTable(target)}: give \`namespace\` a {namespace}, or part them into two syncs`,
        { namespace: rule.namespace },
      );
    }
    sources.set(key, stream);
  }
}
