/** The folder in which a foreign source stages the files that go with its records. */
import { mkdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AirbyteSettings } from "../../../connectors/sources/airbyte/config.ts";
import { STAGING_FOLDER } from "../../../connectors/sources/airbyte/staged-files.ts";

export class StagingFolder {
  readonly path: string;
  readonly #isOurs: boolean;

  /** A folder of the run's own, empty: what a killed attempt has left is staged again. With an `input` it is the peer's. */
  constructor({ input, stagingDirectory }: AirbyteSettings, runId: string) {
    this.#isOurs = input === undefined;
    if (input !== undefined) {
      this.path = stagingDirectory ?? STAGING_FOLDER;
      return;
    }
    this.path = join(stagingDirectory ?? tmpdir(), `millrace-staging-${runId}`);
    this.remove();
    mkdirSync(this.path, { mode: 0o700 });
  }

  remove(): void {
    if (this.#isOurs) rmSync(this.path, { recursive: true, force: true });
  }
}
