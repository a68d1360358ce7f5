/** Random access to a file for hyparquet, with every length bounded. */
import { open, type FileHandle } from "node:fs/promises";
import type { AsyncBuffer } from "hyparquet";
import { ExtractError } from "../../../proto/error.ts";

/** A slice is a footer, a page or a column chunk; a header that asks for more is not believed. */
const SLICE_BYTES_MAX = 1024 * 1024 * 1024;

/** Opens `path` for `use` and closes it whatever happens. */
export async function* withFile<Row>(
  path: string,
  use: (file: AsyncBuffer) => AsyncIterable<Row>,
): AsyncGenerator<Row> {
  const handle = await openFile(path);
  try {
    const { size } = await handle.stat();
    yield* use({
      byteLength: size,
      slice: (start, end) => readSlice(handle, path, start, end ?? size, size),
    });
  } catch (error) {
    throw wrapError(path, error);
  } finally {
    await handle.close();
  }
}

export async function openFile(path: string): Promise<FileHandle> {
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

export async function readSlice(
  handle: FileHandle,
  path: string,
  start: number,
  end: number,
  size: number,
): Promise<ArrayBuffer> {
  const bytes = end - start;
  if (start < 0 || end > size || bytes < 0 || bytes > SLICE_BYTES_MAX)
    throw new ExtractError(
      "DESTINATION_FAILED",
      `${path} is corrupt: it points to bytes ${start} to ${end} of ${size}`,
      { path, start, end, size },
    );
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
