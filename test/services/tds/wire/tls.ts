/**
 * TLS inside of TDS: until the handshake is over its bytes travel in PRELOGIN messages, afterwards all TDS travels in TLS.
 * @see [MS-TDS] 2.2.6.5 "PRELOGIN" (TLS negotiation), 3.3.5.3 "SSL Negotiation"
 */
import { once } from "node:events";
import { Duplex } from "node:stream";
import { createSecureContext, TLSSocket } from "node:tls";
import type { Certificate } from "../../certificates.ts";
import { HEADER_BYTES, MessageReader, packetTypes } from "./packets.ts";

/** Bytes of a handshake that go into one packet. */
const HANDSHAKE_PACKET_BYTES = 4096;

class HandshakeStream extends Duplex {
  readonly #socket: Duplex;
  readonly #reader = new MessageReader();
  #wrapped = true;

  constructor(socket: Duplex) {
    super();
    this.#socket = socket;
    socket.on("data", (piece: Buffer) => this.#receive(piece));
    socket.on("end", () => this.push(null));
    socket.on("close", () => this.destroy());
    socket.on("error", (error: Error) => this.destroy(error));
  }

  #receive(piece: Buffer): void {
    // A TLS record begins with its type, 20 to 23, which no TDS message has: the handshake is over. The client sends
    // first, so that nothing of ours goes out unwrapped before.
    const type = piece[0] ?? 0;
    if (this.#reader.isBetween && type >= 20 && type <= 23)
      this.#wrapped = false;
    let more = true;
    if (this.#wrapped) {
      for (const { body } of this.#reader.read(piece)) more = this.push(body);
    } else more = this.push(piece);
    if (!more) this.#socket.pause();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error?: Error | null) => void,
  ): void {
    if (!this.#wrapped) {
      this.#socket.write(chunk, (error) => done(error));
      return;
    }
    const packets: Buffer[] = [];
    const room = HANDSHAKE_PACKET_BYTES - HEADER_BYTES;
    for (let at = 0; at < chunk.length; at += room) {
      const part = chunk.subarray(at, at + room);
      const head = Buffer.alloc(HEADER_BYTES);
      head[0] = packetTypes.preLogin;
      head[1] = at + room >= chunk.length ? 1 : 0;
      head.writeUInt16BE(part.length + HEADER_BYTES, 2);
      packets.push(head, part);
    }
    this.#socket.write(Buffer.concat(packets), (error) => done(error));
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(
    error: Error | null,
    done: (error: Error | null) => void,
  ): void {
    this.#socket.destroy();
    done(error);
  }
}

/** @returns the stream on which TDS goes on. @throws Error when the handshake fails */
export async function startTls(
  socket: Duplex,
  certificate: Certificate,
): Promise<Duplex> {
  const handshake = new HandshakeStream(socket);
  const secure = new TLSSocket(handshake, {
    isServer: true,
    secureContext: createSecureContext({
      cert: certificate.certPem,
      key: certificate.keyPem,
      // TLS 1.3 sends tickets after the handshake, when the client no longer expects PRELOGIN
      maxVersion: "TLSv1.2",
    }),
  });
  // a client that leaves in the middle is no error of the stream
  handshake.once("close", () =>
    secure.destroy(new Error("the client left during the handshake")),
  );
  await once(secure, "secure");
  return secure;
}
