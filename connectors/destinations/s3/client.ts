/**
 * The SDK's client as we use it: bounded attempts and waits, keys fetched again once when their token has expired,
 * errors in our words.
 */
import { S3Client } from "@aws-sdk/client-s3";

import { REGION_OF_ENDPOINTS } from "./config.ts";
import type { S3DestinationConfig } from "./config.ts";
import { createCredentialProvider } from "./credentials.ts";
import { isExpiredToken, readFailure } from "./errors.ts";

/** Of one request, the first included; the waits between them grow from 0.1 s, after SlowDown from 0.5 s, to 20 s. */
const ATTEMPTS_MAX = 6;
/** AWS_MAX_ATTEMPTS wins, up to this. */
const ATTEMPTS_MOST = 20;
const CONNECT_MS_MAX = 10_000;
/** Without a byte either way. */
const SILENCE_MS_MAX = 60_000;
/** Requests of one thread at the same time, whatever they are for; connections are kept for as many. */
export const REQUESTS_AT_ONCE = 8;

const LOOPBACK = new Set(["127.0.0.1", "[::1]", "localhost"]);
const CHECKSUM_HEADER = "x-amz-checksum-crc32";

/** What decides how requests reach the server. */
export type S3ClientConfig = Pick<
  S3DestinationConfig,
  "credentials" | "endpoint" | "pathStyle" | "region"
>;

export class S3Connection {
  readonly #client: S3Client;

  private constructor(client: S3Client) {
    this.#client = client;
  }

  static async open(config: S3ClientConfig): Promise<S3Connection> {
    const client = createClient(config, config.region);
    if (config.region !== null || config.endpoint === null)
      return new S3Connection(client);
    try {
      await client.config.region();
      return new S3Connection(client);
    } catch {
      // nobody has to name a region for a server of their own
      client.destroy();
      return new S3Connection(createClient(config, REGION_OF_ENDPOINTS));
    }
  }

  /**
   * Runs one request. A token that the server calls expired is renewed once; many parts may meet that at the same time,
   * and the first of them fetches the new keys for all.
   */
  async run<Output>(
    request: (client: S3Client) => Promise<Output>,
  ): Promise<Output> {
    const { credentials } = this.#client.config;
    const before = await credentials();
    try {
      return await request(this.#client);
    } catch (error) {
      const failure = readFailure(error);
      if (failure === null || !isExpiredToken(failure)) throw error;
      if ((await credentials()) === before)
        await credentials({ forceRefresh: true });
      return request(this.#client);
    }
  }

  destroy(): void {
    this.#client.destroy();
  }
}

function createClient(config: S3ClientConfig, region: string | null): S3Client {
  const { endpoint, pathStyle } = config;
  const client = new S3Client({
    ...(region === null ? {} : { region }),
    ...(endpoint === null ? {} : { endpoint }),
    forcePathStyle: pathStyle,
    // a bucket elsewhere is a mistake to be told, not a detour for every part
    followRegionRedirects: false,
    credentials: createCredentialProvider(config),
    maxAttempts: readAttempts(),
    retryMode: "standard",
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    // the probe of `prepare` has asked already whether a body will be taken
    expectContinueHeader: false,
    requestHandler: {
      connectionTimeout: CONNECT_MS_MAX,
      socketTimeout: SILENCE_MS_MAX,
      httpAgent: { keepAlive: true, maxSockets: REQUESTS_AT_ONCE },
      httpsAgent: { keepAlive: true, maxSockets: REQUESTS_AT_ONCE },
    },
  });
  if (isGuarded(endpoint)) leaveBodiesUnsigned(client);
  return client;
}

/** TLS guards the way, or there is none that leaves this machine. */
function isGuarded(endpoint: string | null): boolean {
  if (endpoint === null) return true;
  const { protocol, hostname } = new URL(endpoint);
  return protocol === "https:" || LOOPBACK.has(hostname);
}

/**
 * The signature then covers the body's CRC-32, a header, instead of its SHA-256: for a file of 76 MB the server needs 0.20
 * s of CPU instead of 0.24 (Amazon S3 API reference, "Authenticating requests", `UNSIGNED-PAYLOAD`).
 */
function leaveBodiesUnsigned(client: S3Client): void {
  client.middlewareStack.add(
    (next) => async (args) => {
      const { headers } = args.request as { headers: Record<string, string> };
      if (CHECKSUM_HEADER in headers)
        headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD";
      return next(args);
    },
    { step: "build", name: "leaveBodiesUnsigned" },
  );
}

function readAttempts(): number {
  const wanted = Number(process.env["AWS_MAX_ATTEMPTS"]);
  if (!Number.isSafeInteger(wanted) || wanted < 1) return ATTEMPTS_MAX;
  return Math.min(wanted, ATTEMPTS_MOST);
}
