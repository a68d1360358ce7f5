/** The objects of one checkpoint on their last way: all get their names, what makes it count last, or none stays. */
import type { SealedFile } from "../../../proto/checkpoint.ts";
import type { FileEncoder } from "../../formats/format.ts";
import { mapBounded } from "../layout/bounded.ts";
import { REQUESTS_AT_ONCE } from "./client.ts";
import type { ObjectUpload } from "./upload.ts";

/** Objects that get their names, or are removed, at the same time. */
const PUBLISHED_AT_ONCE = REQUESTS_AT_ONCE;

export interface OpenObject {
  readonly name: string;
  /** Within the generation's, with a slash behind it; empty where rows are not parted. */
  readonly folder: string;
  /** Within its checkpoint. */
  readonly number: number;
  readonly upload: ObjectUpload;
  /** Null: it is finished. */
  encoder: FileEncoder | null;
  rows: number;
}

/** The objects of one checkpoint, all bytes taken. */
export interface Checkpoint {
  readonly objects: readonly OpenObject[];
  /** The marker, where the format has no place for it. */
  readonly sidecar: ObjectUpload | null;
}

/** Memory of what waits for its name. */
export function countHeld(checkpoint: Checkpoint): number {
  let bytes = 0;
  for (const upload of listUploads(checkpoint)) bytes += upload.heldBytes;
  return bytes;
}

function listUploads({ objects, sidecar }: Checkpoint): ObjectUpload[] {
  const uploads = objects.map(({ upload }) => upload);
  return sidecar === null ? uploads : [...uploads, sidecar];
}

/**
 * Gives all of them their names.
 * @param throwObstacle asked before each name: what speaks against it by now
 */
export async function publishObjects(
  checkpoint: Checkpoint,
  throwObstacle: () => void,
): Promise<SealedFile[]> {
  const { objects } = checkpoint;
  const uploads = listUploads(checkpoint);
  const publish = async (upload: ObjectUpload): Promise<void> => {
    throwObstacle();
    await upload.publish();
  };
  for (const { upload } of objects) await upload.settle();
  await mapBounded(uploads.slice(0, -1), PUBLISHED_AT_ONCE, publish);
  for (const upload of uploads.slice(-1)) await publish(upload);
  return objects.map(({ upload, rows }) => ({
    path: upload.path,
    rows,
    bytes: upload.bytes,
  }));
}

/** The marker first, so that what remains of a checkpoint never counts. Never rejects: the first error says more. */
export async function dropObjects(checkpoint: Checkpoint): Promise<void> {
  const drop = (upload: ObjectUpload): Promise<void> =>
    upload.drop().catch(() => {});
  const uploads = listUploads(checkpoint).toReversed();
  for (const upload of uploads.slice(0, 1)) await drop(upload);
  await mapBounded(uploads.slice(1), PUBLISHED_AT_ONCE, drop);
}
