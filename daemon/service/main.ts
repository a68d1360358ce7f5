/** A daemon with all that stands around it: API, inspector and queue triggers, as the configuration asks for. */
import { dirname, join } from "node:path";
import type { Logger } from "../api/log.ts";
import { createDaemonLog, logEvents } from "../api/log.ts";
import { SecretCover } from "../api/secrets.ts";
import type { Api } from "../api/server.ts";
import { loadMillraceConfig, type MillraceConfig } from "../config.ts";
import { isPostgresLedger } from "../../checkpoint/store/postgres-url.ts";
import { defaultLedgerPath } from "../destinations.ts";
import { removePassword } from "../../connectors/destinations/postgres/url.ts";
import type { AfterRuns } from "../after-run/after-runs.ts";
import type { Sweeper } from "../sweeper/sweeper.ts";
import type { KafkaTrigger } from "../triggers/kafka/trigger.ts";
import { Daemon, type Fronts } from "./daemon.ts";
import { listSecretValues } from "./secret-values.ts";

/** Beside the ledger: address and token for the command line of the same user. */
const DAEMON_FILE = "daemon.json";
const HISTORY_FOLDER = "inspections";

export interface ServeOptions {
  readonly config: MillraceConfig;
  readonly version: string;
  /** Of the log on stderr. */
  readonly logLevel: string;
  /** @param url of the API */
  readonly onReady: (url: string) => void;
}

export interface ServedDaemon {
  readonly daemon: Daemon;
  /**
   * Reads the file again.
   * @throws ExtractError CONFIG_INVALID with all faults; the old configuration stays
   */
  reload(): readonly string[];
}

/** Everything but the start: `daemon.run()` is the caller's, who listens for signals first. */
export function createServedDaemon(options: ServeOptions): ServedDaemon {
  const { config } = options;
  let secrets = listSecretValues(config);
  const cover = new SecretCover(() => secrets);
  const log = createDaemonLog(cover, options.logLevel);
  const daemon = new Daemon(config, {
    onReady: () => {},
    onTrouble: (message) => log.error(message),
  });
  logEvents(daemon, log);
  daemon.fronts = new DaemonFronts(daemon, options, log, cover);
  return {
    daemon,
    reload: () => {
      const next = loadMillraceConfig(daemon.config.file);
      secrets = [...new Set([...secrets, ...listSecretValues(next)])];
      return daemon.reload(next);
    },
  };
}

/** What lies beside the ledger; that of a database lies in the user's folder for state. */
function folderBeside(ledgerPath: string): string {
  return dirname(
    isPostgresLedger(ledgerPath)
      ? defaultLedgerPath(removePassword(ledgerPath))
      : ledgerPath,
  );
}

class DaemonFronts implements Fronts {
  readonly #daemon: Daemon;
  readonly #options: ServeOptions;
  readonly #log: Logger;
  readonly #cover: SecretCover;
  #api: Api | null = null;
  #kafka: KafkaTrigger | null = null;
  #afterRuns: AfterRuns | null = null;
  #sweeper: Sweeper | null = null;
  #closeInspector: () => Promise<void> = async () => {};

  constructor(
    daemon: Daemon,
    options: ServeOptions,
    log: Logger,
    cover: SecretCover,
  ) {
    this.#daemon = daemon;
    this.#options = options;
    this.#log = log;
    this.#cover = cover;
  }

  async open(): Promise<void> {
    const { config, version, onReady } = this.#options;
    const { daemon: settings, ledgerPath } = config;
    if (!settings || ledgerPath === null)
      throw new Error("the configuration has no daemon");
    const folder = folderBeside(ledgerPath);
    const { startApi } = await import("../api/server.ts");
    this.#api = await startApi(this.#daemon, {
      listen: settings.listen,
      tokens: settings.tokens,
      tokenFile: join(folder, DAEMON_FILE),
      history: this.#daemon.ledger,
      version,
      log: this.#log,
      cover: this.#cover,
      triggers: () => (this.#kafka ? [this.#kafka.health()] : []),
      inspector: await this.#openInspector(folder),
    });
    if (settings.kafka) {
      const { startKafkaTrigger } =
        await import("../triggers/kafka/trigger.ts");
      this.#kafka = await startKafkaTrigger(this.#daemon, {
        config: settings.kafka,
        ledger: this.#daemon.ledger,
        log: this.#log.child({ part: "kafka" }),
      });
    }
    const { AfterRuns } = await import("../after-run/after-runs.ts");
    this.#afterRuns = new AfterRuns({
      service: this.#daemon,
      ledger: this.#daemon.ledger,
      hookOf: (sync) => this.#daemon.config.hooks.get(sync) ?? null,
      cover: (text) => this.#cover.coverText(text),
      onEnded: ({ sync, runId }, { succeeded, result, answer }) => {
        const about = { sync, run: runId, result };
        if (succeeded)
          this.#log.info(about, "the hook after the run was called");
        else
          this.#log.error(
            { ...about, answer },
            "the hook after the run failed",
          );
      },
    });
    await this.#startSweeper();
    onReady(this.#api.url);
  }

  async #startSweeper(): Promise<void> {
    const { Sweeper } = await import("../sweeper/sweeper.ts");
    this.#sweeper = new Sweeper({
      ledger: this.#daemon.ledger,
      listSyncs: () => this.#daemon.requests,
      reserve: (sync) => this.#daemon.reserveSync(sync),
      cover: (text) => this.#cover.coverText(text),
      onSwept: (news) => {
        if (news.kind === "folders")
          this.#log.info(
            { folders: news.removed.length },
            "folders that dead runs have left were removed",
          );
        else if (news.kind === "sync")
          this.#log.info(
            {
              sync: news.sync,
              generations: news.sweep.generations.length,
              removed: news.sweep.removed,
            },
            "what dead runs have left at the destination was removed",
          );
        else
          this.#log.error(
            { sync: news.sync, error: news.error },
            "what dead runs have left could not be removed",
          );
      },
    });
  }

  async #openInspector(folder: string) {
    const { attachFeed } = await import("../inspector/attach.ts");
    const { InspectorFeed } = await import("../inspector/feed.ts");
    const { History } = await import("../inspector/history.ts");
    const { createInspectorRoutes } = await import("../inspector/routes.ts");
    const history = new History(join(folder, HISTORY_FOLDER));
    const feed = new InspectorFeed({
      history,
      onWarning: (message) => this.#log.warn(message),
    });
    const stop = attachFeed(this.#daemon, feed);
    this.#closeInspector = async () => {
      stop();
      await feed.close();
    };
    return createInspectorRoutes({ feed, history, service: this.#daemon });
  }

  async quiet(): Promise<void> {
    await this.#sweeper?.close();
    await this.#kafka?.drain();
  }

  async close(): Promise<void> {
    await this.#sweeper?.close();
    await this.#afterRuns?.close();
    await this.#kafka?.close();
    await this.#api?.close();
    await this.#closeInspector();
  }
}
