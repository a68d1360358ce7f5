/**
 * What ends a connector when we cannot: a shell beside it that waits for the end of a pipe of ours, whatever has ended
 * us, and then takes the connector's container, its process group and its files away. SIGKILL leaves no other way: no
 * handler of ours runs, and a connector that is alone goes on writing until it writes to a pipe that nobody reads.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { ExtractError } from "../../proto/error.ts";

export interface GuardedContainer {
  readonly runtime: string;
  readonly name: string;
}

/** Runtimes that hang are not waited for any longer. */
const REMOVE_MS_MAX = 20_000;
/** The word that nothing is left to be ended. */
const RELEASED = "released";

/**
 * Its arguments: folder, runtime, container, both empty for a command. The container goes first, so that whoever waits
 * for its client waits for it.
 */
const script = `
read -r group
read -r word
[ "$word" = ${RELEASED} ] && exit 0
if [ -n "$2" ]; then
  "$2" kill "$3"
  "$2" rm --force "$3"
fi
[ -n "$group" ] && kill -s KILL -- "-$group"
rm -rf -- "$1"
`;

export class ConnectorGuard {
  readonly #shell: ChildProcess;
  readonly #gone: Promise<void>;

  /** @throws ExtractError CONNECTOR_NOT_STARTED where there is no shell */
  static async start(
    folder: string,
    container: GuardedContainer | null,
  ): Promise<ConnectorGuard> {
    const { runtime = "", name = "" } = container ?? {};
    const shell = spawn(
      "sh",
      ["-c", script, "millrace-guard", folder, runtime, name],
      // what ends our process group does not end it
      { stdio: ["pipe", "ignore", "ignore"], detached: true },
    );
    const gone = new Promise<void>((resolve) => {
      shell.once("exit", () => resolve());
    });
    await new Promise<void>((started, failed) => {
      shell.once("spawn", started);
      shell.once("error", (cause) =>
        failed(
          new ExtractError(
            "CONNECTOR_NOT_STARTED",
            `nothing can see to the connector's end: ${cause.message}`,
            {},
            { cause },
          ),
        ),
      );
    });
    return new ConnectorGuard(shell, gone);
  }

  private constructor(shell: ChildProcess, gone: Promise<void>) {
    this.#shell = shell;
    this.#gone = gone;
    // whoever is guarded keeps us, and not the guard
    shell.unref();
    // it may be gone, killed by somebody else: what it is told is lost then
    shell.stdin?.on("error", () => {});
  }

  /** Who is ended: the leader of a process group. */
  watch(group: number): void {
    this.#shell.stdin?.write(`${group}\n`);
  }

  /** Nothing of the connector is left. */
  release(): void {
    this.#shell.stdin?.end(`${RELEASED}\n`);
  }

  /** Ends what it guards, now. Resolves when that is done, or takes too long. */
  async fire(): Promise<void> {
    this.#shell.ref();
    this.#shell.stdin?.end();
    await Promise.race([
      this.#gone,
      sleep(REMOVE_MS_MAX, undefined, { ref: false }),
    ]);
  }
}
