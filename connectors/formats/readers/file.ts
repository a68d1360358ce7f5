/** Random access to files for the readers, with every length bounded. */
import { open, type FileHandle } from "node:fs/promises";
import { ExtractError } from "../../../proto/error.ts";

/** A slice is a footer, a page or a column chunk; a header that asks for more is not believed. */
const SLICE_BYTES_MAX = 1024 * 1024 * 1024;

/** Bytes of a file that may lie anywhere. */
export interface FileBytes {
  /** For the messages; its ending tells the format. */
  readonly path: string;
  readonly size: number;
  /** `start` to `end`, exclusive. */
  readonly slice: (start: number, end: number) => Promise<ArrayBuffer>;
}

/** Opens a file of this machine for `use` and closes it whatever happens. */
export async function* withFile<Row>(
  path: string,
  use: (file: FileBytes) => AsyncIterable<Row>,
): AsyncGenerator<Row> {
  const handle = await openFile(path);
  try {
    const { size } = await handle.stat();
    const slice = (start: number, end: number) =>
      readSlice(handle, path, start, end);
    yield* use({ path, size, slice });
  } finally {
    await handle.close();
  }
}

/** The file with slices that lie within it and can be held; others are its own fault. */
export function checkSlices({ path, size, slice }: FileBytes): FileBytes {
  return {
    path,
    size,
    slice: async (start, end) => {
      const bytes = end - start;
      if (start < 0 || end > size || bytes < 0 || bytes > SLICE_BYTES_MAX)
        throw new ExtractError(
          "DESTINATION_FAILED",
          `${path} is corrupt: it points to bytes ${start} to ${end} of ${size}`,
          { path, start, end, size },
        );
      return slice(start, end);
    },
  };
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r");
  } catch (cause) {
    throw new ExtractError(
      "USAGE",
      `${path} cannot be opened: ${(cause as Error).message}`,
      { path },
      { cause },
    );
  }
}

/** What a reader throws at a file that is not what its name says becomes the file's fault. */
export function wrapError(path: string, error: unknown): ExtractError {
  if (error instanceof ExtractError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new ExtractError(
    "DESTINATION_FAILED",
    `${path} cannot be read: ${message}`,
    { path },
    { cause: error },
  );
}

async function readSlice(
  handle: FileHandle,
  path: string,
  start: number,
  end: number,
): Promise<ArrayBuffer> {
  const bytes = end - start;
  const buffer = new Uint8Array(bytes);
  let read = 0;
  while (read < bytes) {
    const { bytesRead } = await handle.read(
      buffer,
      read,
      bytes - read,
      start + read,
    );
    if (bytesRead === 0)
      throw new ExtractError(
        "DESTINATION_FAILED",
        `${path} became shorter while it was read`,
        { path },
      );
    read += bytesRead;
  }
  return buffer.buffer;
}
