package millrace;

import io.debezium.config.Configuration;
import io.debezium.connector.mariadb.MariaDbConnectorConfig;
import io.debezium.connector.mysql.MySqlConnectorConfig;
import io.debezium.connector.mysql.antlr.MySqlAntlrDdlParser;
import io.debezium.connector.postgresql.PostgresConnectorConfig;
import io.debezium.relational.Tables;
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.source.SourceRecord;

/**
 * Loads what an engine loads, without a server, so that the JVM can keep it as a class archive when this ends. What
 * cannot be loaded so is left out, and loaded as ever.
 */
public final class Warm {

    /** Of the discard port, on this machine: refused at once. */
    private static final int PORT_NOBODY_HEARS = 9;

    private Warm() {
    }

    public static void main(String[] args) throws Exception {
        System.setOut(System.err);
        Map<String, String> common = new TreeMap<>(Map.of("name", "m", "topic.prefix", "m", "database.hostname", "127.0.0.1",
                "database.port", String.valueOf(PORT_NOBODY_HEARS), "database.user", "m", "database.password", "m",
                "database.dbname", "m", "database.server.id", "1", "errors.max.retries", "0"));
        common.putAll(Map.of("provide.transaction.metadata", "true", "retriable.restart.connector.wait.ms", "1", "slot.name", "m",
                "publication.name", "m", "plugin.name", "pgoutput", "transaction.metadata.factory", "millrace.CommitLsnTask$Factory",
                "schema.history.internal", "millrace.MemoryHistory", "snapshot.mode", "no_data"));
        for (String connector : List.of("postgresql.PostgresConnector", "mysql.MySqlConnector", "mariadb.MariaDbConnector")) {
            Map<String, String> properties = new TreeMap<>(common);
            properties.put("connector.class", "io.debezium.connector." + connector);
            properties.put("transaction.metadata.factory", connector.startsWith("postgresql") ? "millrace.CommitLsnTask$Factory"
                    : "io.debezium.pipeline.txmetadata.DefaultTransactionMetadataFactory");
            quietly(() -> new Runner(new Lines(new ByteArrayOutputStream(), 1024, false, true), properties, null, new ArrayList<>()).run());
            quietly(() -> Database.of(properties.get("connector.class")).createTask().start(properties));
        }
        quietly(() -> new PostgresConnectorConfig(Configuration.from(common)).getServiceRegistry());
        quietly(() -> new MySqlConnectorConfig(Configuration.from(common)).getServiceRegistry());
        quietly(() -> new MariaDbConnectorConfig(Configuration.from(common)).getServiceRegistry());
        quietly(() -> new MySqlAntlrDdlParser().parse(
                "CREATE TABLE `a`.`b` (`c` bigint(20) unsigned NOT NULL, `d` decimal(18,4) DEFAULT NULL, `e` varchar(9) DEFAULT 'x',"
                        + " PRIMARY KEY (`c`), KEY `k` (`d`)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4; ALTER TABLE `a`.`b` ADD `f` int;",
                new Tables()));
        quietly(Warm::convert);
        for (String name : List.of("com.github.shyiko.mysql.binlog.BinaryLogClient", "org.postgresql.replication.PGReplicationStream",
                "com.mysql.cj.jdbc.ConnectionImpl", "org.mariadb.jdbc.Connection", "org.postgresql.jdbc.PgConnection",
                "io.debezium.connector.postgresql.PostgresStreamingChangeEventSource", "io.debezium.connector.postgresql.TypeRegistry",
                "io.debezium.connector.postgresql.connection.pgoutput.PgOutputMessageDecoder",
                "io.debezium.connector.mysql.MySqlStreamingChangeEventSource",
                "io.debezium.connector.mariadb.MariaDbStreamingChangeEventSource")) {
            quietly(() -> Class.forName(name));
        }
        System.exit(0);
    }

    private static void convert() throws Exception {
        Schema schema = SchemaBuilder.struct().field("a", Schema.INT64_SCHEMA).field("b", Schema.OPTIONAL_STRING_SCHEMA).build();
        Struct value = new Struct(schema).put("a", 1L);
        Schema source = SchemaBuilder.struct().field("schema", Schema.STRING_SCHEMA).field("table", Schema.STRING_SCHEMA)
                .field("ts_us", Schema.INT64_SCHEMA).build();
        Schema envelope = SchemaBuilder.struct().field("before", schema).field("after", schema).field("source", source)
                .field("op", Schema.STRING_SCHEMA).build();
        Struct change = new Struct(envelope).put("after", value).put("op", "c")
                .put("source", new Struct(source).put("schema", "m").put("table", "m").put("ts_us", 1L));
        Lines lines = new Lines(new ByteArrayOutputStream(), 1024, false, true);
        lines.writeEvent(new SourceRecord(Map.of(), Map.of(), "m", schema, value, envelope, change), 1);
        // and what is told as a line
        lines.writeEvent(new SourceRecord(Map.of(), Map.of(), "m", schema, value, schema, value), 2);
        lines.writeError(new IllegalStateException());
        Offsets.write(Offsets.read("{\"a\":1}"));
    }

    private interface Load {
        Object load() throws Exception;
    }

    private interface Act {
        void act() throws Exception;
    }

    private static void quietly(Load load) {
        quietly((Act) load::load);
    }

    private static void quietly(Act act) {
        try {
            act.act();
        }
        catch (Throwable expected) {
            // nobody answers
        }
    }
}
