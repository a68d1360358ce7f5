/** X.509 certificates for the tests, made without a tool: a certificate authority, and servers that it vouches for. */
import {
  generateKeyPairSync,
  randomBytes,
  sign,
  type KeyObject,
} from "node:crypto";

/** From an hour ago, so that a clock that differs does not matter, to a day from now. */
const VALID_SINCE_MS = 3_600_000;
const VALID_FOR_MS = 86_400_000;

export interface Certificate {
  readonly certPem: string;
  /** PKCS #8. */
  readonly keyPem: string;
}

export interface Authority extends Certificate {
  /** A certificate for a server that is reached under these names (DNS names, or IPv4 addresses). */
  issue(names: readonly string[]): Certificate;
}

/** Elements of the Distinguished Encoding Rules. @see ITU-T X.690; RFC 5280 for what they mean here */
const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  utf8: 0x0c,
  sequence: 0x30,
  set: 0x31,
  time: 0x18,
  version: 0xa0,
  extensions: 0xa3,
  dnsName: 0x82,
  ipAddress: 0x87,
} as const;

/** Object identifiers, encoded. */
const ids = {
  ecdsaWithSha256: "2a8648ce3d040302",
  commonName: "550403",
  keyUsage: "551d0f",
  subjectAltName: "551d11",
  basicConstraints: "551d13",
} as const;

function element(
  tag: keyof typeof tags,
  ...parts: readonly (Uint8Array | string)[]
): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  // in as few bytes as it takes: who writes a certificate anew before checking it (Java) finds the same bytes
  const high = body.length >> 8;
  const prefix = body.length < 0x80 ? [] : high === 0 ? [0x81] : [0x82, high];
  const length = Buffer.of(...prefix, body.length & 0xff);
  return Buffer.concat([Buffer.of(tags[tag]), length, body]);
}

const objectId = (name: keyof typeof ids): Buffer =>
  element("objectId", Buffer.from(ids[name], "hex"));

const bits = (bytes: Uint8Array): Buffer =>
  element("bitString", Buffer.of(0), bytes);

const algorithm = element("sequence", objectId("ecdsaWithSha256"));

function name(commonName: string): Buffer {
  const attribute = element(
    "sequence",
    objectId("commonName"),
    element("utf8", commonName),
  );
  return element("sequence", element("set", attribute));
}

/** `20260102030405Z` */
function time(atMs: number): Buffer {
  const digits = new Date(atMs).toISOString().replaceAll(/[-T:]/g, "");
  return element("time", `${digits.slice(0, 14)}Z`);
}

function extension(
  id: keyof typeof ids,
  isCritical: boolean,
  value: Uint8Array,
): Buffer {
  const critical = isCritical ? [element("boolean", Buffer.of(0xff))] : [];
  return element(
    "sequence",
    objectId(id),
    ...critical,
    element("octetString", value),
  );
}

const authorityExtensions = [
  extension(
    "basicConstraints",
    true,
    element("sequence", element("boolean", Buffer.of(0xff))),
  ),
  // keyCertSign is bit 5
  extension("keyUsage", true, element("bitString", Buffer.of(2, 0x04))),
];

function alternativeNames(names: readonly string[]): Buffer {
  const parts = names.map((one) =>
    /^\d+(\.\d+){3}$/.test(one)
      ? element("ipAddress", Buffer.from(one.split(".").map(Number)))
      : element("dnsName", one),
  );
  return extension("subjectAltName", false, element("sequence", ...parts));
}

interface Request {
  readonly subject: string;
  readonly publicKey: KeyObject;
  readonly issuer: string;
  readonly issuerKey: KeyObject;
  readonly extensions: readonly Buffer[];
}

/** One certificate as PEM. */
function certify(request: Request): string {
  const now = Date.now();
  const serial = Buffer.concat([Buffer.of(1), randomBytes(8)]);
  const content = element(
    "sequence",
    element("version", element("integer", Buffer.of(2))),
    element("integer", serial),
    algorithm,
    name(request.issuer),
    element("sequence", time(now - VALID_SINCE_MS), time(now + VALID_FOR_MS)),
    name(request.subject),
    request.publicKey.export({ type: "spki", format: "der" }),
    element("extensions", element("sequence", ...request.extensions)),
  );
  const signature = sign("sha256", content, request.issuerKey);
  const der = element("sequence", content, algorithm, bits(signature));
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return [
    "-----BEGIN CERTIFICATE-----",
    ...lines,
    "-----END CERTIFICATE-----",
    "",
  ].join("\n");
}

const exportKey = (key: KeyObject): string =>
  key.export({ type: "pkcs8", format: "pem" }) as string;

/** A new authority with a key of its own, which signs for itself. */
export function createAuthority(issuer: string): Authority {
  const own = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const signed = { issuer, issuerKey: own.privateKey };
  return {
    certPem: certify({
      ...signed,
      subject: issuer,
      publicKey: own.publicKey,
      extensions: authorityExtensions,
    }),
    keyPem: exportKey(own.privateKey),
    issue(names) {
      const { publicKey, privateKey } = generateKeyPairSync("ec", {
        namedCurve: "P-256",
      });
      const certPem = certify({
        ...signed,
        subject: names[0] ?? "server",
        publicKey,
        extensions: [alternativeNames(names)],
      });
      return { certPem, keyPem: exportKey(privateKey) };
    },
  };
}
