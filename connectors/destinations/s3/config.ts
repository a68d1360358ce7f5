/**
 * What the S3 destination needs to know. No schema library here: this is loaded where rows are written.
 */
import type { DestinationConfig } from "../../../proto/control.ts";
import type { FormatOptions } from "../../formats/format.ts";
import type { PartitionColumn } from "../../formats/partition-rows.ts";

/** Where the keys come from. No key is ever part of the configuration. */
export type S3Credentials =
  /** Environment, profile, web identity, container, instance: what the AWS SDK looks through by itself. */
  | { readonly kind: "default" }
  | { readonly kind: "profile"; readonly profile: string }
  | {
      readonly kind: "assumeRole";
      readonly arn: string;
      readonly externalId: string | null;
      /** Shown in the other account's log. */
      readonly sessionName: string;
    };

export interface S3DestinationConfig extends DestinationConfig {
  readonly kind: "s3";
  readonly bucket: string;
  /** What every key begins with, without slashes at its ends; may be empty. */
  readonly prefix: string;
  /** Null: as the environment or the profile says. */
  readonly region: string | null;
  /** Null: AWS, or what the environment says. */
  readonly endpoint: string | null;
  /** The bucket in the path instead of the host name. */
  readonly pathStyle: boolean;
  readonly credentials: S3Credentials;
  /** Null: as the bucket does by itself. */
  readonly sse: {
    /** Null: the account's own key for S3. */
    readonly kmsKeyId: string | null;
  } | null;
  readonly acl: S3Acl | null;
  readonly storageClass: S3StorageClass | null;
  /** Folder of one stream below the prefix, from {namespace} and {stream}. */
  readonly pathTemplate: string;
  /** A file that has reached this is closed before the next batch. Bytes of the file, compressed. */
  readonly fileBytesMax: number;
  readonly format: FormatOptions;
  /** Columns whose values become folders within a generation's; none when left out. */
  readonly partitionBy?: readonly PartitionColumn[];
}

/** Canned ACLs that leave the writer its rights (Amazon S3 user guide, "Access control list overview"). */
export const S3_ACLS = [
  "private",
  "public-read",
  "authenticated-read",
  "aws-exec-read",
  "bucket-owner-read",
  "bucket-owner-full-control",
] as const;
export type S3Acl = (typeof S3_ACLS)[number];

/** Those whose objects can be read at once: recovery reads what was written (user guide, "Storage classes"). */
export const S3_STORAGE_CLASSES = [
  "STANDARD",
  "REDUCED_REDUNDANCY",
  "STANDARD_IA",
  "ONEZONE_IA",
  "INTELLIGENT_TIERING",
  "GLACIER_IR",
] as const;
export type S3StorageClass = (typeof S3_STORAGE_CLASSES)[number];

/** Where an endpoint of one's own is named without a region, most servers take this one. */
export const REGION_OF_ENDPOINTS = "us-east-1";

/** UTF-8 (Amazon S3 user guide, "Naming Amazon S3 objects"). */
export const KEY_BYTES_MAX = 1_024;
