package millrace;

import io.debezium.connector.common.BaseSourceTask;
import java.io.IOException;
import java.util.Map;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.source.SourceRecord;

/** What differs between the connectors. */
interface Database {

    static Database of(String connectorClass) {
        return switch (connectorClass) {
            case "io.debezium.connector.postgresql.PostgresConnector" -> new PostgresDatabase();
            case "io.debezium.connector.mysql.MySqlConnector" -> new BinlogDatabase("mysql");
            case "io.debezium.connector.mariadb.MariaDbConnector" -> new BinlogDatabase("mariadb");
            default -> throw new IllegalArgumentException("unknown connector: " + connectorClass);
        };
    }

    /** Refuses what the connector would pass over in silence. */
    void check(Map<String, String> properties, Map<String, Object> offset) throws Exception;

    /** What the connector is told. */
    default Map<String, String> toProperties(Map<String, String> properties) throws Exception {
        return properties;
    }

    BaseSourceTask<?, ?> createTask();

    String metricsName();

    default Map<String, Object> readOffset(String text) throws IOException {
        return Offsets.read(text);
    }

    /** The offset as the connector wants it where it starts. */
    Map<String, Object> toStart(Map<String, Object> offset);

    /** The offset as the connector wants it to move the source. */
    Map<String, Object> toCommit(Map<String, Object> offset);

    /** Where a transaction stands in the log, as 20 characters that sort: of its BEGIN record. */
    String positionOfBegin(SourceRecord record);

    /** The transaction's id of its BEGIN record. */
    String idOfBegin(SourceRecord record);

    /** The same of an event that is its own transaction. */
    String positionOfEvent(Struct source);

    /** Null where the log has none. */
    String idOfEvent(Struct source);

    /**
     * The offset from which a start sends everything behind this record's transaction and nothing of it; null where the
     * record does not know one.
     * @param transaction the transaction that is done, whose id the connector has not yet counted in; null: none
     */
    Map<String, Object> toResume(Map<String, ?> offset, String transaction);
}
