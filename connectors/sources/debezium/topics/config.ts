/** Topics as the source of a YAML file; help text and JSON Schema derive from it. */
import { z } from "zod";
import { buildUrlSchema } from "../../url-schema.ts";
import { parseTopicsUrl } from "./url.ts";

export const topicsSource = z.strictObject({
  kind: z.literal("kafka"),
  url: buildUrlSchema(
    // the password may stand beside
    (url) => parseTopicsUrl(url, { KAFKA_PASSWORD: "" }),
    "kafka://user:password@host:9092,host:9092/?topics=shop.public.*: topics of Debezium in an existing Kafka Connect, with ssl, sasl, tables (URL of the database, where messages carry no schema), times and unavailable behind the question mark. Its modes are cdc and continuous.",
  ),
});
