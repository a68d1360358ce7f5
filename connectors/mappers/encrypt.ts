/**
 * Encrypts values; NULL stays NULL. What each value becomes, so that any AES-GCM can read it:
 *
 * | method | bytes |
 * |---|---|
 * | aes-256-gcm | 1, IV (12), ciphertext, tag (16) |
 * | rsa-oaep | 2, length of the wrapped key (2, big-endian), wrapped key, IV (12), ciphertext, tag (16) |
 *
 * The wrapped key is the AES-256 key of the rest, by RSA-OAEP with SHA-256 (RFC 8017, 7.1; MGF1 with SHA-256, no label):
 * RSA alone holds 190 bytes at most. It is drawn anew for each batch. IVs are random, which bears 2^32 values for a key
 * (NIST SP 800-38D, 8.3). There is no additional data.
 */
import {
  constants,
  createCipheriv,
  createPublicKey,
  createSecretKey,
  publicEncrypt,
  randomBytes,
  randomFillSync,
  type KeyObject,
} from "node:crypto";
import type { ColumnVector } from "../../proto/columns.ts";
import { ByteSink } from "../formats/byte-sink.ts";
import type { MapperStep } from "./config.ts";
import { mapColumns, type PlannedStep, type StepContext } from "./step.ts";
import { ValueBytes } from "./value-bytes.ts";

const KEY_BYTES = 32;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const MODULUS_BITS_MIN = 2048;
const VERSION_AES = 1;
const VERSION_RSA = 2;

/** The key for a batch, and what stands in front of its IVs. */
type DrawKey = () => { readonly key: KeyObject; readonly head: Uint8Array };

export function planEncrypt(
  {
    columns,
    method,
    key,
    output = "binary",
  }: NonNullable<MapperStep["encrypt"]>,
  context: StepContext,
): PlannedStep {
  const path = ["encrypt", "columns"];
  const drawKey =
    method === "aes-256-gcm"
      ? readSecretKey(key, context)
      : readPublicKey(key, context);
  const indexes = context.findEach(columns, path);
  const encrypted = new Map<number, ValueBytes>();
  for (const i of indexes) {
    const tracked = context.columns[i]!;
    context.checkGone(tracked, "encrypted", path);
    encrypted.set(i, new ValueBytes(tracked.column.type));
  }
  return {
    columns: context.columns.map((tracked, i) =>
      encrypted.has(i)
        ? {
            ...tracked,
            // equal values no longer look equal
            keyIndex: null,
            column: {
              ...tracked.column,
              type: { kind: output === "binary" ? "binary" : "text" },
              sourceType: `${method}(${tracked.column.sourceType})`,
            },
          }
        : tracked,
    ),
    apply: mapColumns(indexes, (vector, rowCount, i) =>
      encryptColumn(
        encrypted.get(i)!,
        drawKey,
        output === "base64",
        vector,
        rowCount,
      ),
    ),
  };
}

function encryptColumn(
  values: ValueBytes,
  drawKey: DrawKey,
  isBase64: boolean,
  vector: ColumnVector,
  rowCount: number,
): ColumnVector {
  const { key, head } = drawKey();
  const present = rowCount - vector.nullCount;
  const ivs = randomFillSync(new Uint8Array(present * IV_BYTES));
  const overhead = head.length + IV_BYTES + TAG_BYTES;
  const sink = new ByteSink(present * overhead + vector.data.length);
  const offsets = new Int32Array(rowCount + 1);
  let ivAt = 0;
  values.bind(vector, rowCount);
  for (let row = 0; row < rowCount; row++) {
    if (values.locate(row)) {
      const iv = ivs.subarray(ivAt, ivAt + IV_BYTES);
      ivAt += IV_BYTES;
      const start = sink.length;
      const cipher = createCipheriv("aes-256-gcm", key, iv);
      sink.append(head);
      sink.append(iv);
      sink.append(
        cipher.update(values.bytes.subarray(values.start, values.end)),
      );
      // a stream cipher: nothing is left, but the tag needs the end
      sink.append(cipher.final());
      sink.append(cipher.getAuthTag());
      if (isBase64) turnToBase64(sink, start);
    }
    offsets[row + 1] = sink.length;
  }
  values.unbind();
  const { nullCount, validity } = vector;
  return { nullCount, validity, offsets, data: sink.written() };
}

/** Replaces what was written from `start` on by its base64. */
function turnToBase64(sink: ByteSink, start: number): void {
  const text = Buffer.from(
    sink.bytes.buffer,
    start,
    sink.length - start,
  ).toString("base64");
  sink.length = start;
  sink.append(Buffer.from(text, "latin1"));
}

/** 64 hexadecimal digits, or base64 of 32 bytes. What is wrong is said without a part of it. */
function readSecretKey(text: string, context: StepContext): DrawKey {
  const trimmed = text.trim();
  const bytes = /^[0-9a-fA-F]{64}$/.test(trimmed)
    ? Buffer.from(trimmed, "hex")
    : /^[A-Za-z0-9+/_-]{43}=?$/.test(trimmed)
      ? Buffer.from(trimmed, "base64")
      : null;
  if (bytes?.length !== KEY_BYTES) {
    context.fail(
      ["encrypt", "key"],
      "is no AES-256 key: 64 hexadecimal digits, or base64 of 32 bytes",
    );
    return refuseKey;
  }
  const drawn = {
    key: createSecretKey(bytes),
    head: Uint8Array.of(VERSION_AES),
  };
  return () => drawn;
}

function readPublicKey(pem: string, context: StepContext): DrawKey {
  const refuse = (reason: string): DrawKey => {
    context.fail(["encrypt", "key"], reason);
    return refuseKey;
  };
  // OpenSSL would take the public half of it without a word
  if (pem.includes("PRIVATE KEY"))
    return refuse("is a private key: it decrypts, and does not belong here");
  let publicKey: KeyObject;
  try {
    publicKey = createPublicKey(pem);
  } catch {
    // its own message may have a part of the text
    return refuse("is no public key in PEM, e.g. by `openssl rsa -pubout`");
  }
  const bits = publicKey.asymmetricKeyDetails?.modulusLength ?? 0;
  if (publicKey.asymmetricKeyType !== "rsa")
    return refuse(`is no RSA key, but ${publicKey.asymmetricKeyType}`);
  if (bits < MODULUS_BITS_MIN)
    return refuse(`has ${bits} bits, where ${MODULUS_BITS_MIN} are needed`);
  return () => {
    const bytes = randomBytes(KEY_BYTES);
    const wrapped = publicEncrypt(
      {
        key: publicKey,
        padding: constants.RSA_PKCS1_OAEP_PADDING,
        oaepHash: "sha256",
      },
      bytes,
    );
    const head = Buffer.alloc(3 + wrapped.length);
    head[0] = VERSION_RSA;
    head.writeUInt16BE(wrapped.length, 1);
    head.set(wrapped, 3);
    return { key: createSecretKey(bytes), head };
  };
}

function refuseKey(): never {
  throw new Error("a plan with faults is not applied");
}
