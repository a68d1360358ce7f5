/**
 * The ledger of a `write` into a bucket: in the bucket, since the machine that runs a connector is gone when it ends. It
 * is brought here first, and put back before anything is built on what it says: before the first row is written, before
 * a state goes back, before a commit, and at the end.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { copyLedger } from "../../checkpoint/store/ledger-copy.ts";
import type { DestinationRequest } from "../destinations.ts";

/** Relative to the prefix; no stream's folder begins with a dot. */
const KEPT_PATH = ".millrace/airbyte-write.sqlite";
const LEDGER_NAME = "ledger.sqlite";
const GATE_NAME = "kept";

type S3Request = Extract<DestinationRequest, { readonly kind: "s3" }>;

interface Place {
  read(): Promise<Buffer | null>;
  replace(bytes: Uint8Array): Promise<void>;
  close(): void;
}

export class KeptLedger {
  readonly #folder: string;
  readonly #place: Place;
  #keeping: Promise<void> = Promise.resolve();
  /** Begins behind the one that is under way. */
  #next: Promise<void> | null = null;

  private constructor(folder: string, place: Place) {
    this.#folder = folder;
    this.#place = place;
  }

  /** @throws ExtractError of the destination */
  static async open({ url, options }: S3Request): Promise<KeptLedger> {
    const { openS3Kept } =
      await import("../../connectors/destinations/s3/url.ts");
    const place = await openS3Kept(url, options, KEPT_PATH);
    const folder = mkdtempSync(join(tmpdir(), "millrace-ledger-"));
    const kept = new KeptLedger(folder, place);
    try {
      const bytes = await place.read();
      if (bytes !== null) writeFileSync(kept.path, bytes, { mode: 0o600 });
      return kept;
    } catch (error) {
      kept.close();
      throw error;
    }
  }

  get path(): string {
    return join(this.#folder, LEDGER_NAME);
  }

  /** A file that is there once the ledger of this run was kept for the first time. */
  get gatePath(): string {
    return join(this.#folder, GATE_NAME);
  }

  openGate(): void {
    writeFileSync(this.gatePath, "");
  }

  /** All that the ledger says by now, or more. @throws ExtractError of the destination, and of the ledger */
  keep(): Promise<void> {
    // who asks while one waits to begin is served by that one
    this.#next ??= this.#keeping
      .catch(() => {})
      .then(async () => {
        this.#next = null;
        // a run that could not begin has left none
        if (existsSync(this.path))
          await this.#place.replace(copyLedger(this.path));
      });
    this.#keeping = this.#next;
    return this.#next;
  }

  close(): void {
    this.#place.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
