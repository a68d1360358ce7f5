import { expect, test } from "vitest";
import { toEngineError } from "../../../../../connectors/sources/debezium/engine/errors.ts";

const frame = {
  class: "org.apache.kafka.connect.errors.ConnectException",
  message: "An exception occurred in the change event producer.",
};
const postgres = (message: string, sqlState: string) => ({
  class: "org.postgresql.util.PSQLException",
  message,
  sqlState,
});

// words and numbers as the servers and Debezium 3.5 say them
test.for([
  {
    code: "SOURCE_AUTH_FAILED",
    cause: postgres('password authentication failed for user "x"', "28P01"),
  },
  {
    code: "SOURCE_LOG_BUSY",
    cause: postgres('replication slot "s" is active for PID 7', "55006"),
  },
  {
    code: "SOURCE_POSITION_EXPIRED",
    cause: postgres(
      'ERROR: can no longer get changes from replication slot "s"',
      "55000",
    ),
  },
  {
    code: "SOURCE_LOG_UNSUITABLE",
    cause: postgres("logical decoding requires wal_level >= logical", "55000"),
  },
  {
    code: "SOURCE_CONNECTION_LOST",
    cause: postgres(
      "terminating connection due to administrator command",
      "57P01",
    ),
  },
  {
    code: "SOURCE_POSITION_EXPIRED",
    cause: {
      class: "com.github.shyiko.mysql.binlog.network.ServerException",
      message: "Could not find first log file name in binary log index file",
    },
  },
  {
    code: "SOURCE_LOG_BUSY",
    cause: {
      class: "com.github.shyiko.mysql.binlog.network.ServerException",
      message:
        "A slave with the same server_uuid/server_id as this slave has connected to the master",
    },
  },
  {
    code: "SOURCE_LOG_UNSUITABLE",
    cause: {
      class: "java.sql.SQLSyntaxErrorException",
      message:
        "Access denied; you need (at least one of) the REPLICATION SLAVE privilege(s)",
      sqlState: "42000",
      vendorCode: 1227,
    },
  },
  {
    code: "SOURCE_ROW_TOO_LARGE",
    cause: { class: "millrace.Lines$LineTooLongException", message: "2 of 1" },
  },
  {
    code: "ENGINE_FAILED",
    cause: { class: "java.lang.NullPointerException", message: "null" },
  },
] as const)("$cause.message is $code", ({ code, cause }) => {
  const error = toEngineError([frame, cause], false);
  expect(error).toMatchObject({ code, message: cause.message });
});

test("a server that was there has been lost, one that never was is missed", () => {
  const causes = [
    frame,
    { class: "java.net.ConnectException", message: "Connection refused" },
  ];
  expect(toEngineError(causes, false).code).toBe("SOURCE_UNREACHABLE");
  expect(toEngineError(causes, true).code).toBe("SOURCE_CONNECTION_LOST");
});
