/**
 * Where the keys come from. Each call looks at the source itself; the client remembers them until they expire, or until
 * a server says that they have.
 */
import {
  fromNodeProviderChain,
  fromTemporaryCredentials,
} from "@aws-sdk/credential-providers";

import type { S3DestinationConfig } from "./config.ts";

type Provider = ReturnType<typeof fromNodeProviderChain>;

export function createCredentialProvider({
  credentials,
  region,
}: Pick<
  S3DestinationConfig,
  "credentials" | "region"
>): () => ReturnType<Provider> {
  const client = region === null ? {} : { clientConfig: { region } };
  switch (credentials.kind) {
    case "default":
      return () => fromNodeProviderChain(client)();
    case "profile": {
      const { profile } = credentials;
      return () => fromNodeProviderChain({ ...client, profile })();
    }
    case "assumeRole": {
      const { arn, externalId, sessionName } = credentials;
      const params = {
        RoleArn: arn,
        RoleSessionName: sessionName,
        ...(externalId === null ? {} : { ExternalId: externalId }),
      };
      return () =>
        fromTemporaryCredentials({
          ...client,
          params,
          masterCredentials: fromNodeProviderChain(client),
        })();
    }
  }
}
