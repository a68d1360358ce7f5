/**
 * Every name below the destination's root, both ways and without IO:
 * `<stream folder>/g000001/p00003-e001-s000004-00.parquet`, and where a name is needed before its checkpoint is known,
 * `p00003-e001-w1f09c3aa-00.parquet`.
 */
import assert from "node:assert/strict";

import { ExtractError } from "../../../proto/error.ts";
import {
  encodeIdentifier,
  parsePathTemplate,
  shortenFolderName,
} from "./path-template.ts";

export { parsePathTemplate } from "./path-template.ts";

export const MANIFEST_NAME = "_manifest.json";
/**
 * Within a generation's folder: whole files that came with its rows. No folder of values is called so, and most readers
 * of tables pass over it.
 */
export const FILES_FOLDER = "_files";

/** A stream as folders and manifests name it. */
export interface StreamName {
  readonly namespace: string;
  readonly name: string;
}

// The extensions that `connectors/formats` gives; another one is not ours, however the name begins.
const EXTENSION = String.raw`\.(?:parquet|avro|(?:csv|jsonl)(?:\.(?:gz|zst))?)`;
const DATA_NAME = new RegExp(
  `^p(\\d{5,16})-e(\\d{3,16})-s(\\d{6,16})-(\\d{2,16})(${EXTENSION})$`,
);
const TAGGED_NAME = new RegExp(
  `^p(\\d{5,16})-e(\\d{3,16})-w([0-9a-f]{8})-(\\d{2,16})(${EXTENSION})$`,
);
const SIDECAR_NAME = /^\.(.+)\.checkpoint\.json$/;
const TEMPORARY_NAME =
  /^p(\d{5,16})-e(\d{3,16})-w([0-9a-f]{8})-(\d{2,16})\.tmp$/;
const MANIFEST_TEMPORARY_NAME =
  /^_manifest-g(\d{6,16})-e(\d{3,16})-([0-9a-f]{8})\.tmp$/;
const GENERATION_NAME = /^g(\d{6,16})$/;

/** What one data file is: together with generation and stream (its folders) this is unique for ever. */
export interface FilePlace {
  /** Ordinal, from 0. */
  readonly partition: number;
  /** From 1. */
  readonly epoch: number;
  /**
   * The checkpoint's index, which no two checkpoints of a stream and epoch share; 0 for the file of an empty table.
   * (A frame's sequence starts again with each attempt at a partition, so it would give one name twice.)
   */
  readonly checkpoint: number;
  /** Number of the file within its checkpoint, from 0. */
  readonly number: number;
}

export interface ParsedFileName extends FilePlace {
  /** With the leading dot. */
  readonly extension: string;
}

/** A file named before its checkpoint is known. The tag is drawn by its writer, so that a second attempt never meets it. */
export interface TaggedPlace {
  readonly partition: number;
  readonly epoch: number;
  /** Eight hex digits. */
  readonly tag: string;
  readonly number: number;
}

/** What every name of a data file tells, whichever form it has. */
export interface ParsedDataName {
  readonly partition: number;
  readonly epoch: number;
  /** Within its checkpoint, or of those that its writer has begun. */
  readonly number: number;
  /** With the leading dot. */
  readonly extension: string;
}

export interface ManifestTemporaryPlace {
  readonly generation: number;
  readonly epoch: number;
  readonly tag: string;
}

export function fileName(place: FilePlace, extension: string): string {
  const name =
    `p${pad(place.partition, 5)}-e${pad(place.epoch, 3)}` +
    `-s${pad(place.checkpoint, 6)}-${pad(place.number, 2)}${extension}`;
  assert(DATA_NAME.test(name), `not a data file name: ${name}`);
  return name;
}

/** The strict inverse of `fileName`: null for every name that it would not give. */
export function parseFileName(name: string): ParsedFileName | null {
  const match = DATA_NAME.exec(name);
  if (!match) return null;
  const extension = match[5] ?? "";
  const place = {
    partition: Number(match[1]),
    epoch: Number(match[2]),
    checkpoint: Number(match[3]),
    number: Number(match[4]),
  };
  if (!Object.values(place).every(Number.isSafeInteger)) return null;
  if (fileName(place, extension) !== name) return null;
  return { ...place, extension };
}

/** A data file's name for destinations that cannot give one later. */
export function taggedName(place: TaggedPlace, extension: string): string {
  const name = `${formatTagged(place)}${extension}`;
  assert(TAGGED_NAME.test(name), `not a data file name: ${name}`);
  return name;
}

/** A data file's name of either form; null for every other. */
export function parseDataName(name: string): ParsedDataName | null {
  const { partition, epoch, number, extension } =
    parseFileName(name) ?? parseTaggedName(name) ?? {};
  if (partition === undefined || epoch === undefined) return null;
  if (number === undefined || extension === undefined) return null;
  return { partition, epoch, number, extension };
}

/** The file beside a checkpoint's last data file that holds its marker, where the format has no place for one. */
export function sidecarName(dataFileName: string): string {
  assert(parseDataName(dataFileName), `not a data file name: ${dataFileName}`);
  return `.${dataFileName}.checkpoint.json`;
}

/** The data file's name that a sidecar's name is made of; null for any other name. */
export function dataNameOfSidecar(name: string): string | null {
  const dataName = SIDECAR_NAME.exec(name)?.[1] ?? "";
  return parseDataName(dataName) ? dataName : null;
}

export function temporaryName(place: TaggedPlace): string {
  const name = `${formatTagged(place)}.tmp`;
  assert(TEMPORARY_NAME.test(name), `not a temporary name: ${name}`);
  return name;
}

export function parseTemporaryName(name: string): TaggedPlace | null {
  const place = readTagged(TEMPORARY_NAME.exec(name));
  return place && temporaryName(place) === name ? place : null;
}

function parseTaggedName(
  name: string,
): (TaggedPlace & { readonly extension: string }) | null {
  const match = TAGGED_NAME.exec(name);
  const place = readTagged(match);
  const extension = match?.[5] ?? "";
  if (!place || taggedName(place, extension) !== name) return null;
  return { ...place, extension };
}

function formatTagged(place: TaggedPlace): string {
  return (
    `p${pad(place.partition, 5)}-e${pad(place.epoch, 3)}` +
    `-w${place.tag}-${pad(place.number, 2)}`
  );
}

function readTagged(match: RegExpExecArray | null): TaggedPlace | null {
  if (!match) return null;
  const place = {
    partition: Number(match[1]),
    epoch: Number(match[2]),
    tag: match[3] ?? "",
    number: Number(match[4]),
  };
  const counts = [place.partition, place.epoch, place.number];
  return counts.every(Number.isSafeInteger) ? place : null;
}

export function manifestTemporaryName(place: ManifestTemporaryPlace): string {
  const name =
    `_manifest-g${pad(place.generation, 6)}-e${pad(place.epoch, 3)}` +
    `-${place.tag}.tmp`;
  assert(MANIFEST_TEMPORARY_NAME.test(name), `not a temporary name: ${name}`);
  return name;
}

export function parseManifestTemporaryName(
  name: string,
): ManifestTemporaryPlace | null {
  const match = MANIFEST_TEMPORARY_NAME.exec(name);
  if (!match) return null;
  const place = {
    generation: Number(match[1]),
    epoch: Number(match[2]),
    tag: match[3] ?? "",
  };
  if (![place.generation, place.epoch].every(Number.isSafeInteger)) return null;
  return manifestTemporaryName(place) === name ? place : null;
}

/** `g000001`: the folder of one generation within its stream's. */
export function generationFolder(generation: number): string {
  assert(generation >= 1, `generations count from 1, not ${generation}`);
  return `g${pad(generation, 6)}`;
}

/** The strict inverse of `generationFolder`. */
export function parseGenerationFolder(name: string): number | null {
  const generation = Number(GENERATION_NAME.exec(name)?.[1]);
  if (!Number.isSafeInteger(generation) || generation < 1) return null;
  return generationFolder(generation) === name ? generation : null;
}

/** Whether a folder within a generation's is one of `column=value`, as `connectors/formats/partition-rows.ts` makes them. */
export function isPartitionFolder(name: string): boolean {
  return /^[^=._/][^=/]*=[^=/]*$/u.test(name);
}

/** Folders `column=value` within folders; more are not ours, and not looked into. */
export const FOLDERS_MAX = 8;

/**
 * Takes a path within a generation's folder apart.
 * @returns folder: with a slash behind it, or empty; null where other folders than ours are part of the path
 */
export function splitInnerPath(
  path: string,
): { readonly folder: string; readonly name: string } | null {
  const at = path.lastIndexOf("/") + 1;
  const folder = path.slice(0, at);
  const folders = folder === "" ? [] : folder.slice(0, -1).split("/");
  const isOurs =
    folders.length <= FOLDERS_MAX && folders.every(isPartitionFolder);
  return isOurs ? { folder, name: path.slice(at) } : null;
}

/** The folder of one generation of a stream, relative to the root. */
export function generationPath(
  template: string,
  stream: StreamName,
  generation: number,
): string {
  return `${streamFolder(template, stream)}/${generationFolder(generation)}`;
}

/**
 * The stream's folder relative to the root, with forward slashes. Two streams never share one: identifiers are encoded
 * injectively, and the template keeps them apart.
 * @throws ExtractError USAGE for a template that `parsePathTemplate` refuses
 */
export function streamFolder(template: string, stream: StreamName): string {
  const values = {
    namespace: encodeIdentifier(stream.namespace),
    stream: encodeIdentifier(stream.name),
  };
  return parsePathTemplate(template)
    .map((segment) =>
      shortenFolderName(
        segment
          .map((part) => (part.kind === "text" ? part.text : values[part.of]))
          .join(""),
      ),
    )
    .join("/");
}

/**
 * Refuses streams that would share a folder, which a template without {namespace} allows.
 * @throws ExtractError USAGE naming both streams
 */
export function checkDistinctFolders(
  template: string,
  streams: readonly StreamName[],
): void {
  const owners = new Map<string, StreamName>();
  for (const stream of streams) {
    const folder = streamFolder(template, stream);
    const owner = owners.get(folder);
    if (owner) {
      throw new ExtractError(
        "USAGE",
        `${owner.namespace}.${owner.name} and ${stream.namespace}.${stream.name} would both be written to ${folder}: ` +
          "put {namespace} into the path template",
        { template, folder },
      );
    }
    owners.set(folder, stream);
  }
}

function pad(value: number, digits: number): string {
  assert(Number.isSafeInteger(value) && value >= 0, `not a count: ${value}`);
  return String(value).padStart(digits, "0");
}
