/**
 * Stands between an S3 client and its server: records each request, and does to it what a test says. The host header is
 * passed on as it came, because the client's signature covers it.
 */
import { createServer, request as sendRequest } from "node:http";
import type {
  IncomingHttpHeaders,
  IncomingMessage,
  ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";

/** Longer than any part that a test uploads. */
const BODY_BYTES_MAX = 256 * 1024 * 1024;

export interface ProxiedRequest {
  /** From 0, in the order of arrival. */
  readonly number: number;
  /** The API's name for it: `UploadPart`. */
  readonly operation: string;
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
}

export type Fault =
  /** The server's answer is made up; the server never sees the request. */
  | {
      readonly kind: "answer";
      readonly status: number;
      /** The `Code` of an XML error; empty for an answer without a body. */
      readonly code: string;
      readonly headers?: Readonly<Record<string, string>>;
      readonly details?: string;
    }
  /** The connection is reset when so much of the body has come; the server never sees the request. */
  | { readonly kind: "reset"; readonly afterBytes: number }
  /** The server does it, and the connection is reset in the place of its answer. */
  | { readonly kind: "loseAnswer" };

export interface S3Proxy {
  readonly endpoint: string;
  readonly requests: readonly ProxiedRequest[];
  /** Asked for each request before anything is done with it. */
  findFault: (request: ProxiedRequest) => Fault | null;
  /** Lets requests of an operation wait from now on, until `release`. */
  hold(operation: string): void;
  release(): void;
  /** The names of the operations so far. */
  operations(): string[];
  stop(): Promise<void>;
}

/** @param upstream `http://127.0.0.1:9000` */
export async function startS3Proxy(upstream: string): Promise<S3Proxy> {
  const { hostname, port } = new URL(upstream);
  const requests: ProxiedRequest[] = [];
  let held: string | null = null;
  let waiting: (() => void)[] = [];
  const release = (): void => {
    held = null;
    for (const resume of waiting) resume();
    waiting = [];
  };
  const server = createServer((incoming, outgoing) => {
    const request: ProxiedRequest = {
      number: requests.length,
      operation: nameOperation(incoming),
      method: incoming.method ?? "",
      path: incoming.url ?? "",
      headers: incoming.headers,
    };
    requests.push(request);
    const fault = proxy.findFault(request);
    const { socket } = incoming;
    const ready = new Promise<void>((resolve) => {
      if (request.operation === held) waiting.push(resolve);
      else resolve();
    });
    serve(incoming, outgoing, { fault, ready, hostname, port }).then(
      (isAnswered) => {
        if (!isAnswered) socket.resetAndDestroy();
      },
      () => socket.destroy(),
    );
  });
  await new Promise<void>((done, fail) => {
    server.once("error", fail);
    server.listen(0, "127.0.0.1", done);
  });
  const address = server.address() as AddressInfo;
  const proxy: S3Proxy = {
    endpoint: `http://127.0.0.1:${address.port}`,
    requests,
    findFault: () => null,
    hold: (operation) => {
      held = operation;
    },
    release,
    operations: () => requests.map(({ operation }) => operation),
    stop: async () => {
      release();
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
  return proxy;
}

/** @returns false where the connection is to be reset instead */
async function serve(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  {
    fault,
    ready,
    ...to
  }: {
    readonly fault: Fault | null;
    readonly ready: Promise<void>;
    readonly hostname: string;
    readonly port: string;
  },
): Promise<boolean> {
  if (fault?.kind === "reset") {
    await waitForBytes(incoming, fault.afterBytes);
    return false;
  }
  const body = await readBody(incoming);
  await ready;
  if (fault?.kind === "answer") {
    const { status, code, headers = {}, details = "" } = fault;
    outgoing.writeHead(status, {
      "content-type": "application/xml",
      ...headers,
    });
    outgoing.end(
      incoming.method === "HEAD" || code === ""
        ? ""
        : `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code>` +
            `<Message>by the test</Message>${details}</Error>`,
    );
    return true;
  }
  const answer = await forward(incoming, body, to);
  if (fault?.kind === "loseAnswer") return false;
  outgoing.writeHead(answer.status, answer.headers);
  outgoing.end(answer.body);
  return true;
}

function waitForBytes(
  incoming: IncomingMessage,
  wanted: number,
): Promise<void> {
  return new Promise((resolve) => {
    let bytes = 0;
    incoming.on("data", (chunk: Buffer) => {
      bytes += chunk.byteLength;
      if (bytes >= wanted) resolve();
    });
    incoming.once("close", () => resolve());
    if (wanted === 0) resolve();
  });
}

async function readBody(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.byteLength;
    if (bytes > BODY_BYTES_MAX) throw new Error("a body without end");
  }
  return Buffer.concat(chunks);
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

function forward(
  incoming: IncomingMessage,
  body: Buffer,
  { hostname, port }: { readonly hostname: string; readonly port: string },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = sendRequest(
      {
        hostname,
        port,
        method: incoming.method ?? "GET",
        path: incoming.url ?? "/",
        headers: { ...incoming.headers, connection: "close" },
      },
      (response) => {
        readBody(response).then(
          (bytes) =>
            resolve({
              status: response.statusCode ?? 502,
              headers: { ...response.headers, connection: "keep-alive" },
              body: bytes,
            }),
          reject,
        );
      },
    );
    outgoing.once("error", reject);
    outgoing.end(body);
  });
}

/** The operations that a destination uses; others by method and path. */
function nameOperation({ method = "", url = "" }: IncomingMessage): string {
  const { pathname, searchParams: query } = new URL(url, "http://s3");
  const isBucket = /^\/[^/]*\/?$/.test(pathname);
  const is = (...keys: string[]): boolean =>
    keys.every((key) => query.has(key));
  switch (method) {
    case "GET":
      if (is("uploads")) return "ListMultipartUploads";
      if (is("uploadId")) return "ListParts";
      return isBucket ? "ListObjectsV2" : "GetObject";
    case "PUT":
      if (is("partNumber", "uploadId")) return "UploadPart";
      return isBucket ? "CreateBucket" : "PutObject";
    case "POST":
      if (is("uploads")) return "CreateMultipartUpload";
      if (is("uploadId")) return "CompleteMultipartUpload";
      if (is("delete")) return "DeleteObjects";
      break;
    case "DELETE":
      if (is("uploadId")) return "AbortMultipartUpload";
      return isBucket ? "DeleteBucket" : "DeleteObject";
    case "HEAD":
      return isBucket ? "HeadBucket" : "HeadObject";
  }
  return `${method} ${pathname}`;
}
