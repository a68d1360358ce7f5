import type {
  DoctorRequest,
  Finding,
} from "../../../actors/doctor/findings.ts";
import type { OutputOptions } from "../options.ts";
import { printJson, printOut } from "../print.ts";
import { chooseSync, readSourceUrl } from "../request.ts";
import { createPaint, hasColours, sanitize, type Paint } from "../terminal.ts";

interface DoctorOptions extends OutputOptions {
  readonly file?: string;
  readonly table?: readonly string[];
  readonly exclude?: readonly string[];
}

/** `millrace doctor`. Gives the exit code: 1 when something is missing. */
export async function runDoctor(
  source: string | undefined,
  options: DoctorOptions,
): Promise<number> {
  const request = await readSubject(source, options);
  const { askDoctor } = await import("../../ask-doctor.ts");
  const answer = await askDoctor(request);
  const findings = [...answer.machine, ...(answer.source ?? [])];
  const isWell = findings.every(({ state }) => state !== "missing");
  if (options.json === true) {
    printJson({ ok: isWell, ...answer });
  } else {
    const paint = createPaint(hasColours(process.stdout));
    printOut(
      [
        ...renderFindings("this machine", answer.machine, paint),
        ...(answer.source === null
          ? ["", "`millrace doctor <source-url>` looks at the source, too"]
          : ["", ...renderFindings("the source", answer.source, paint)]),
      ].join("\n"),
    );
  }
  return isWell ? 0 : 1;
}

async function readSubject(
  source: string | undefined,
  options: DoctorOptions,
): Promise<DoctorRequest> {
  if (options.file !== undefined) {
    const { url, tables, exclude } = await chooseSync(
      options.file,
      source,
      undefined,
    );
    return { url, tables: tables ?? [], exclude: exclude ?? [] };
  }
  return {
    url: source === undefined ? null : readSourceUrl(source),
    tables: options.table ?? [],
    exclude: options.exclude ?? [],
  };
}

const NAME_WIDTH = 26;
const STATE_WIDTH = 9;

function renderFindings(
  title: string,
  findings: readonly Finding[],
  paint: Paint,
): string[] {
  return [
    paint.bold(title),
    ...findings.flatMap(({ name, state, detail, remedy }) => [
      `  ${paintState(state, paint)}${sanitize(name).padEnd(NAME_WIDTH)} ${sanitize(detail)}`,
      ...(remedy === null || state === "ok"
        ? []
        : [`${" ".repeat(STATE_WIDTH + 2)}→ ${sanitize(remedy)}`]),
    ]),
  ];
}

function paintState(state: Finding["state"], paint: Paint): string {
  const word = state.padEnd(STATE_WIDTH);
  switch (state) {
    case "ok":
      return paint.green(word);
    case "missing":
      return paint.red(word);
    case "note":
    case "unknown":
      return paint.dim(word);
  }
}
