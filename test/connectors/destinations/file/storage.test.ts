import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";

import fc from "fast-check";
import { expect } from "vitest";

import { writePieces } from "../../../../connectors/destinations/file/storage.ts";
import { test } from "./folder.ts";

test("pieces are written whole and in order, however little the system takes at once", ({
  root,
}) => {
  const piece = fc.uint8Array({ maxLength: 20 });
  const takes = fc.infiniteStream(fc.integer({ min: 1, max: 9 }));
  const original = fs.writevSync;
  let take: Iterator<number> = [][Symbol.iterator]();
  fs.writevSync = (fd, pieces) => {
    let left: number = take.next().value ?? 1;
    let written = 0;
    for (const part of pieces as Uint8Array[]) {
      const bytes = Math.min(left, part.byteLength);
      if (bytes > 0) written += fs.writeSync(fd, part, 0, bytes);
      left -= bytes;
      if (bytes < part.byteLength) break;
    }
    return written;
  };
  syncBuiltinESMExports();
  try {
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 8 }),
        takes,
        (pieces, stream) => {
          take = stream;
          const path = join(root, "file");
          const fd = fs.openSync(path, "w");
          const bytes = writePieces(fd, pieces);
          fs.closeSync(fd);
          const whole = Buffer.concat(pieces);
          expect(bytes).toBe(whole.byteLength);
          expect(fs.readFileSync(path).equals(whole)).toBe(true);
        },
      ),
    );
  } finally {
    fs.writevSync = original;
    syncBuiltinESMExports();
  }
});
