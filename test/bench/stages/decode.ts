/**
 * Decoding alone: DataRow bytes of a table like TPC-H's lineitem, made here, in pieces as a socket gives them, through
 * the generated decoder, its interpreted twin, and the parser and row objects of `pg`. Prints ns per field.
 */
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { columnSchema, resolveColumn } from "../../../connectors/sources/postgres/types.ts";
import {
  batchCapacity,
  BatchSet,
} from "../../../connectors/sources/postgres/decode/batch-set.ts";
import { compileDecoder, generateDecoder } from "../../../connectors/sources/postgres/decode/generated.ts";
import { createInterpretedDecoder } from "../../../connectors/sources/postgres/decode/interpreted.ts";
import type { RowDecoder } from "../../../connectors/sources/postgres/decode/decoder.ts";
import type {
  DecodePlan,
  FieldPlan,
} from "../../../connectors/sources/postgres/decode/plan.ts";
import { BATCH_ROWS_MAX } from "../../../proto/columns.ts";

const f = (name: string, kind: FieldPlan["kind"], logical: FieldPlan["logical"], precision = 0, scale = 0): FieldPlan =>
  ({ name, kind, logical, nullable: false, precision, scale });
const fields: FieldPlan[] = [
  f("l_orderkey", "bits64", "int64"), f("l_partkey", "bits32", "int32"), f("l_suppkey", "bits32", "int32"), f("l_linenumber", "bits32", "int32"),
  f("l_quantity", "decimal64", "decimal64", 12, 2), f("l_extendedprice", "decimal64", "decimal64", 12, 2), f("l_discount", "decimal64", "decimal64", 12, 2), f("l_tax", "decimal64", "decimal64", 12, 2),
  f("l_returnflag", "bytes", "text"), f("l_linestatus", "bytes", "text"),
  f("l_shipdate", "date", "date"), f("l_commitdate", "date", "date"), f("l_receiptdate", "date", "date"),
  f("l_shipinstruct", "bytes", "text"), f("l_shipmode", "bytes", "text"), f("l_comment", "bytes", "text"),
];
let seed = 7;
const rnd = (n: number) => { seed = (Math.imul(seed, 1103515245) + 12345) >>> 0; return Math.floor((seed / 4294967296) * n); };
function makeRows(count: number): Buffer {
  const parts: Buffer[] = [];
  const int = (v: number, size: number) => { const b = Buffer.alloc(4 + size); b.writeInt32BE(size, 0); if (size === 8) b.writeBigInt64BE(BigInt(v), 4); else b.writeInt32BE(v, 4); return b; };
  const text = (s: string) => { const b = Buffer.alloc(4 + s.length); b.writeInt32BE(s.length, 0); b.write(s, 4); return b; };
  const modes = ["AIR", "MAIL", "SHIP", "RAIL", "TRUCK", "FOB", "REG AIR"].map((s) => s.padEnd(10));
  const ins = ["DELIVER IN PERSON", "NONE", "TAKE BACK RETURN", "COLLECT COD"].map((s) => s.padEnd(25));
  const words = "the quick slow packages furiously even deposits about carefully final ideas sleep".split(" ");
  for (let i = 0; i < count; i++) {
    let c = ""; const L = 10 + rnd(33); while (c.length < L) c += words[rnd(words.length)] + " "; c = c.slice(0, L);
    const body = Buffer.concat([int(i * 3, 8), int(rnd(200000), 4), int(rnd(10000), 4), int(1 + rnd(7), 4), text((1 + rnd(50)).toFixed(2)), text((900 + rnd(10000000) / 100).toFixed(2)), text((rnd(11) / 100).toFixed(2)), text((rnd(9) / 100).toFixed(2)),
      text("ANR"[rnd(3)]!), text("OF"[rnd(2)]!), int(-3000 + rnd(2500), 4), int(-3000 + rnd(2500), 4), int(-3000 + rnd(2500), 4), text(ins[rnd(4)]!), text(modes[rnd(7)]!), text(c)]);
    const h = Buffer.alloc(7); h[0] = 68; h.writeInt32BE(6 + body.length, 1); h.writeInt16BE(16, 5);
    parts.push(h, body);
  }
  return Buffer.concat(parts);
}
const plan: DecodePlan = { fields, table: "lineitem", policy: "error", valueNulled: () => {} };
const wire = makeRows(20000);
const ring = Buffer.from(new ArrayBuffer(wire.length)); wire.copy(ring);
const view = new DataView(ring.buffer);
function run(d: RowDecoder, ms: number): number {
  const set = new BatchSet(fields, batchCapacity(fields, BATCH_ROWS_MAX));
  let rows = 0; const t = process.cpuUsage(); const t0 = performance.now();
  while (performance.now() - t0 < ms) {
    for (let at = 0, end = 0; at < ring.length; ) {
      end = Math.min(ring.length, at + 200_000);
      for (;;) {
        const n = d.decode(set, ring, view, at, end);
        at = n;
        if (!set.isFull) break;
        rows += set.rowCount; set.reset();
      }
    }
  }
  rows += set.rowCount;
  const u = process.cpuUsage(t);
  return ((u.user + u.system) * 1000) / (rows * fields.length);
}
const which = process.argv[2] ?? "both";
for (let r = 0; r < 3; r++) {
  if (which !== "int") console.log("generated  ", run(compileDecoder(generateDecoder(plan.fields))(plan), 700).toFixed(2), "ns/field");
  if (which !== "gen") console.log("interpreted", run(createInterpretedDecoder(plan), 700).toFixed(2), "ns/field");
}
