/** A proxy before a real server that cuts, changes or encrypts what passes. */
import { connect, createServer, type Server, type Socket } from "node:net";
import { TLSSocket } from "node:tls";

export interface Proxy {
  /** The server's URL, by way of the proxy. */
  readonly url: string;
  close(): Promise<void>;
}

export interface ProxyOptions {
  /** Changes what the server sends, one chunk after another. */
  readonly transform?: (chunk: Buffer) => readonly Buffer[];
  readonly tls?: boolean;
}

export async function startProxy(
  serverUrl: string,
  options: ProxyOptions,
): Promise<Proxy> {
  const target = new URL(serverUrl);
  const sockets = new Set<Socket>();
  const server: Server = createServer((raw) => {
    const upstream = connect(Number(target.port), target.hostname);
    const begin = (client: Socket): void => {
      for (const socket of [client, upstream]) {
        sockets.add(socket);
        socket.setNoDelay(true);
        socket.on("error", () => {});
        socket.on("close", () => {
          client.destroy();
          upstream.destroy();
        });
      }
      client.pipe(upstream);
      upstream.on("data", (chunk) => {
        let goesOn = true;
        for (const piece of options.transform?.(chunk) ?? [chunk]) {
          goesOn = client.write(piece);
        }
        if (!goesOn) {
          upstream.pause();
          client.once("drain", () => upstream.resume());
        }
      });
    };
    if (options.tls !== true) {
      begin(raw);
      return;
    }
    // the first 8 bytes ask for TLS; cancel requests come without
    raw.once("data", (request: Buffer) => {
      if (request.readInt32BE(4) !== 80_877_103) {
        begin(raw);
        upstream.write(request);
        return;
      }
      raw.write("S");
      begin(new TLSSocket(raw, { isServer: true, key, cert: certificate }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") {
    throw new Error("the proxy has no port");
  }
  const url = new URL(serverUrl);
  url.port = String(address.port);
  return {
    url: url.href,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** Of `localhost`, signed by itself, valid for a century; made for these tests. */
export const certificate = `-----BEGIN CERTIFICATE-----
MIIBlDCCATugAwIBAgIUC2HT+vmXszKaGRO7z3GphC3xlvUwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTA2MzgzM1oYDzIxMjYxMDI4
MDYzODMzWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQds0FJp1kzmOtmf7SBL4hzGy7Zr3g7qYixZHWXTjQELBG+v7DtKRN+
5B+/4hsZRSiFHoFUtXa3bJGOKgC2e2R4o2kwZzAdBgNVHQ4EFgQUju5xO7tPfRmV
SqxSll0EhFCdOE0wHwYDVR0jBBgwFoAUju5xO7tPfRmVSqxSll0EhFCdOE0wDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
RwAwRAIgSbYAftHSev11Ds94+GJ7MT3aThbajig3krHYkBDjmfICIFb/JmfJN3b1
zPhH7/RyaW0yjmSWvTTcjjxeeUPer/D0
-----END CERTIFICATE-----`;

const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg3HyL4KQfQviJsWLk
gLSN66gwT/t8AldTaOurDPrYu9GhRANCAAQds0FJp1kzmOtmf7SBL4hzGy7Zr3g7
qYixZHWXTjQELBG+v7DtKRN+5B+/4hsZRSiFHoFUtXa3bJGOKgC2e2R4
-----END PRIVATE KEY-----`;
