/**
 * The places where the AWS SDK finds keys, on loopback: the instance's metadata service (IMDSv2), the container's
 * endpoint and the token service. They hand out the keys that a test gives them.
 */
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export interface HandedKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly expiration?: Date;
}

export interface CredentialService {
  /** For AWS_EC2_METADATA_SERVICE_ENDPOINT and AWS_ENDPOINT_URL_STS. */
  readonly endpoint: string;
  /** For AWS_CONTAINER_CREDENTIALS_FULL_URI. */
  readonly containerUri: string;
  /** `GET /container`, or the action and the fields of a call of the token service. */
  readonly requests: readonly string[];
  /** The keys to hand out next. */
  keys: HandedKeys;
  stop(): Promise<void>;
}

const ROLE = "millrace-test-role";
const HOUR_MS = 3_600_000;

export async function startCredentialService(
  keys: HandedKeys,
): Promise<CredentialService> {
  const requests: string[] = [];
  const server = createServer((incoming, outgoing) => {
    readText(incoming).then(
      (body) => {
        const { method = "", url = "", headers } = incoming;
        const isCall = method === "POST" && url === "/";
        requests.push(isCall ? describeCall(body) : `${method} ${url}`);
        const isXml = isCall;
        const text = isCall
          ? answerCall(body, service.keys)
          : answerMetadata(`${method} ${url}`, service.keys, headers);
        outgoing.writeHead(text === null ? 404 : 200, {
          "content-type": isXml ? "text/xml" : "application/json",
        });
        outgoing.end(text ?? "");
      },
      () => incoming.socket?.destroy(),
    );
  });
  await new Promise<void>((done, fail) => {
    server.once("error", fail);
    server.listen(0, "127.0.0.1", done);
  });
  const { port } = server.address() as AddressInfo;
  const endpoint = `http://127.0.0.1:${port}`;
  const service: CredentialService = {
    endpoint,
    containerUri: `${endpoint}/container`,
    requests,
    keys,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
  return service;
}

async function readText(incoming: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of incoming as AsyncIterable<Buffer>)
    text += chunk.toString();
  return text;
}

function expiryOf({ expiration }: HandedKeys): string {
  return (expiration ?? new Date(Date.now() + HOUR_MS)).toISOString();
}

function answerMetadata(
  request: string,
  keys: HandedKeys,
  headers: IncomingMessage["headers"],
): string | null {
  const { accessKeyId, secretAccessKey } = keys;
  const answer = JSON.stringify({
    Code: "Success",
    AccessKeyId: accessKeyId,
    SecretAccessKey: secretAccessKey,
    // the test's server knows no session tokens
    Token: "",
    Expiration: expiryOf(keys),
  });
  const path = "/latest/meta-data/iam/security-credentials/";
  const isTokenShown = headers["x-aws-ec2-metadata-token"] === "metadata-token";
  switch (request) {
    case "PUT /latest/api/token":
      return "metadata-token";
    case `GET ${path}`:
      return isTokenShown ? ROLE : null;
    case `GET ${path}${ROLE}`:
      return isTokenShown ? answer : null;
    case "GET /container":
      return answer;
    default:
      return null;
  }
}

/** `AssumeRole RoleArn=… ExternalId=…`, by name. */
function describeCall(body: string): string {
  const fields = new URLSearchParams(body);
  const shown = ["RoleArn", "RoleSessionName", "ExternalId", "WebIdentityToken"]
    .filter((name) => fields.has(name))
    .map((name) => `${name}=${fields.get(name)}`);
  return [fields.get("Action"), ...shown].join(" ");
}

/** AWS STS API reference, "AssumeRole" and "AssumeRoleWithWebIdentity". */
function answerCall(body: string, keys: HandedKeys): string {
  const action = new URLSearchParams(body).get("Action") ?? "";
  return (
    `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><${action}Result><Credentials>` +
    `<AccessKeyId>${keys.accessKeyId}</AccessKeyId><SecretAccessKey>${keys.secretAccessKey}</SecretAccessKey>` +
    `<SessionToken></SessionToken><Expiration>${expiryOf(keys)}</Expiration>` +
    `</Credentials></${action}Result></${action}Response>`
  );
}
