/** What change data capture needs on this machine: Java, and the engine's jars or what builds them. */
import {
  findEngine,
  JARS_VARIABLE,
} from "../../connectors/sources/debezium/engine/build.ts";
import {
  findJava,
  findProgram,
  javaRemedy,
  type Environment,
} from "../../connectors/sources/debezium/engine/java.ts";
import { ExtractError } from "../../proto/error.ts";
import { missing, ok, type Finding } from "./findings.ts";

/** Never throws: what cannot be found is a finding. */
export async function checkMachine(
  environment: Environment,
): Promise<Finding[]> {
  return [await checkJava(environment), ...(await checkJars(environment))];
}

async function checkJava(environment: Environment): Promise<Finding> {
  try {
    const { path, version } = await findJava(environment);
    return ok("Java", `${version} (${path})`);
  } catch (error) {
    return missing("Java", describe(error), javaRemedy);
  }
}

async function checkJars(environment: Environment): Promise<Finding[]> {
  try {
    const files = await findEngine(environment);
    if (files !== null) return [ok("engine", files.folder)];
  } catch (error) {
    return [
      missing(
        "engine",
        describe(error),
        `unset ${JARS_VARIABLE}, or copy the folder of a machine that has built it`,
      ),
    ];
  }
  const tools = [
    { name: "javac", what: "Java compiler", homes: ["JAVA_HOME"] },
    { name: "mvn", what: "Maven", homes: ["MAVEN_HOME", "M2_HOME"] },
  ];
  const findings = await Promise.all(
    tools.map(async ({ name, what, homes }) => {
      const path = await findProgram(
        name,
        environment,
        homes.map((home) => environment[home]),
      );
      return path === null
        ? missing(what, `${name} is not in PATH`, javaRemedy)
        : ok(what, path);
    }),
  );
  return [
    ...findings,
    ok(
      "engine",
      "not built yet: the first sync with change data capture does it, from Maven's repository (50 MB, once)",
    ),
  ];
}

function describe(error: unknown): string {
  return error instanceof ExtractError ? error.message : String(error);
}
