import { expect, test } from "vitest";
import { betweenTimes } from "../../../../connectors/sources/mysql/times.ts";

test.for([
  {
    low: "2024-01-01",
    high: "2024-01-03",
    middle: "2024-01-02 00:00:00.000000",
  },
  {
    low: "2024-01-01 00:00:00",
    high: "2024-01-01 00:00:01",
    middle: "2024-01-01 00:00:00.500000",
  },
  // no month is longer than 28 days here, so that what comes out is a date in each
  {
    low: "2023-02-01",
    high: "2023-04-31",
    middle: "2023-03-14 12:00:00.000000",
  },
  {
    low: "0000-00-00 00:00:00",
    high: "0000-00-00 00:00:02.000000",
    middle: "0000-01-01 00:00:01.000000",
  },
  { low: "-838:59:59", high: "838:59:59", middle: "00:00:00.000000" },
  { low: "-00:00:02", high: "00:00:01", middle: "-00:00:00.500000" },
  { low: "2024-01-01", high: "12:00:00", middle: null },
  { low: "soon", high: "later", middle: null },
])("between $low and $high is $middle", ({ low, high, middle }) =>
  expect(betweenTimes(low, high)).toBe(middle),
);
