/** Each type with its edge values, as text: what the tests read back by several clients. NULL is added to each. */
export interface TypeCase {
  readonly type: string;
  readonly values: readonly string[];
}

const guid = "00112233-4455-6677-8899-AABBCCDDEEFF";
const longText = "0123456789abcdef".repeat(1000);
const emoji = "\u{1f600} \u00e9\u4e2d";

export const typeCases: readonly TypeCase[] = [
  { type: "tinyint", values: ["0", "255"] },
  { type: "smallint", values: ["-32768", "32767"] },
  { type: "int", values: ["-2147483648", "2147483647"] },
  { type: "bigint", values: ["-9223372036854775808", "9223372036854775807"] },
  { type: "bit", values: ["0", "1"] },
  { type: "decimal(9,2)", values: ["-9999999.99", "0.01"] },
  { type: "decimal(19,4)", values: ["-999999999999999.9999", "0.0001"] },
  { type: "numeric(28,0)", values: ["9999999999999999999999999999", "-1"] },
  {
    type: "decimal(38,10)",
    values: [
      "9999999999999999999999999999.9999999999",
      "-9999999999999999999999999999.9999999999",
      "0.0000000001",
    ],
  },
  {
    type: "decimal(38,0)",
    values: [`${"9".repeat(38)}`, `-${"9".repeat(38)}`],
  },
  { type: "decimal(38,38)", values: [`0.${"9".repeat(38)}`] },
  {
    type: "money",
    values: ["-922337203685477.5808", "922337203685477.5807", "0.0001"],
  },
  { type: "smallmoney", values: ["-214748.3648", "214748.3647"] },
  { type: "float", values: ["1.7976931348623157e+308", "5e-324", "-0.1", "0"] },
  { type: "real", values: ["3.4028235e+38", "-0.1", "1e-45"] },
  { type: "date", values: ["0001-01-01", "9999-12-31", "1582-10-10"] },
  { type: "time(0)", values: ["00:00:00", "23:59:59"] },
  { type: "time(3)", values: ["00:00:00.001", "23:59:59.999"] },
  { type: "time(7)", values: ["00:00:00.0000001", "23:59:59.9999999"] },
  {
    type: "datetime",
    values: [
      "1753-01-01 00:00:00.000",
      "9999-12-31 23:59:59.997",
      "1899-12-31 12:00:00.003",
    ],
  },
  {
    type: "smalldatetime",
    values: ["1900-01-01 00:00:00", "2079-06-06 23:59:00"],
  },
  {
    type: "datetime2(0)",
    values: ["0001-01-01 00:00:00", "9999-12-31 23:59:59"],
  },
  { type: "datetime2(4)", values: ["2024-02-29 12:34:56.7891"] },
  {
    type: "datetime2(7)",
    values: ["0001-01-01 00:00:00.0000000", "9999-12-31 23:59:59.9999999"],
  },
  {
    type: "datetimeoffset(0)",
    values: ["2024-02-29 12:34:56 -14:00"],
  },
  {
    type: "datetimeoffset(7)",
    values: [
      "2024-02-29 12:34:56.1234567 +14:00",
      "0001-01-02 00:00:00.0000001 +05:30",
      "9999-12-30 23:59:59.9999999 -08:00",
    ],
  },
  { type: "char(5)", values: ["ab   ", "\u20ac    "] },
  { type: "varchar(20)", values: ["", "caf\u00e9 \u20ac", "x".repeat(20)] },
  {
    type: "varchar(20) COLLATE Cyrillic_General_CI_AS",
    values: ["\u043f\u0440\u0438\u0432\u0435\u0442"],
  },
  {
    type: "varchar(20) COLLATE Japanese_CI_AS",
    values: ["\u65e5\u672c\u8a9e"],
  },
  {
    type: "varchar(20) COLLATE Latin1_General_100_CI_AS_SC_UTF8",
    values: [emoji],
  },
  { type: "varchar(max)", values: ["", longText] },
  { type: "nchar(4)", values: ["\u4e2d   "] },
  { type: "nvarchar(20)", values: ["", emoji, "x\u0000y", "'\"\\\r\n"] },
  { type: "nvarchar(4000)", values: [longText.slice(0, 4000)] },
  { type: "nvarchar(max)", values: ["", longText, emoji] },
  { type: "text", values: ["", longText] },
  { type: "ntext", values: [emoji, longText] },
  { type: "binary(4)", values: ["0x00FF0100"] },
  { type: "varbinary(8)", values: ["0x", "0x00", "0xFFFFFFFFFFFFFFFF"] },
  { type: "varbinary(max)", values: ["0x", `0x${"00FF".repeat(9000)}`] },
  { type: "image", values: ["0x0102", `0x${"AB".repeat(9000)}`] },
  {
    type: "uniqueidentifier",
    values: [guid, "00000000-0000-0000-0000-000000000000"],
  },
  { type: "xml", values: ['<a b="\u00e9">\u4e2d</a>'] },
];
