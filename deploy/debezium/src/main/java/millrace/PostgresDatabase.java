package millrace;

import io.debezium.config.Configuration;
import io.debezium.connector.common.BaseSourceTask;
import io.debezium.connector.postgresql.PostgresConnectorConfig;
import io.debezium.connector.postgresql.connection.PostgresConnection;
import java.sql.SQLException;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.source.SourceRecord;
import org.postgresql.replication.LogSequenceNumber;

/** Postgres, by pgoutput. An offset is `{"lsn": end of the last commit, "ts_usec": when}`. */
final class PostgresDatabase implements Database {

    /** A slot that is gone would be made anew by the connector, and what lies between would be lost in silence. */
    @Override
    public void check(Map<String, String> properties, Map<String, Object> offset) throws SQLException {
        PostgresConnectorConfig config = new PostgresConnectorConfig(Configuration.from(properties));
        String slot = config.slotName();
        try (PostgresConnection connection = new PostgresConnection(config.getJdbcConfig(), "Millrace check")) {
            connection.prepareQuery(
                    "SELECT plugin, confirmed_flush_lsn::text, to_jsonb(s)->>'wal_status', database = current_database(),"
                            + " to_jsonb(s)->>'invalidation_reason'"
                            + " FROM pg_replication_slots s WHERE slot_name = ?",
                    statement -> statement.setString(1, slot), rows -> {
                        if (!rows.next()) {
                            throw new SlotException("slot_gone", "the replication slot " + slot + " does not exist");
                        }
                        if (!"pgoutput".equals(rows.getString(1)) || !rows.getBoolean(4)) {
                            throw new SlotException("slot_foreign", "the replication slot " + slot
                                    + " is not of this database or not of pgoutput");
                        }
                        if ("lost".equals(rows.getString(3)) || rows.getString(2) == null) {
                            String reason = rows.getString(5);
                            throw new SlotException("slot_lost", "the replication slot " + slot + " has lost its WAL"
                                    + (reason == null ? "" : ": " + reason));
                        }
                        LogSequenceNumber confirmed = LogSequenceNumber.valueOf(rows.getString(2));
                        if (offset != null && Long.compareUnsigned(confirmed.asLong(), lsnOf(offset)) > 0) {
                            throw new SlotException("slot_ahead", "the replication slot " + slot + " stands at " + confirmed.asString()
                                    + ", behind which is what was asked for, " + LogSequenceNumber.valueOf(lsnOf(offset)).asString());
                        }
                    });
        }
    }

    private static long lsnOf(Map<String, Object> offset) {
        return ((Number) offset.get("lsn")).longValue();
    }

    @Override
    public BaseSourceTask<?, ?> createTask() {
        return new CommitLsnTask();
    }

    @Override
    public String metricsName() {
        return "postgres";
    }

    /**
     * Without the LSN of a last change the connector starts at the given one and looks for nothing. Its search takes a
     * change of a later transaction that stands there for the one it had already sent, and passes over what that
     * transaction did before.
     */
    @Override
    public Map<String, Object> toStart(Map<String, Object> offset) {
        return offset;
    }

    @Override
    public Map<String, Object> toCommit(Map<String, Object> offset) {
        Map<String, Object> commit = new TreeMap<>(offset);
        commit.put("lsn_proc", offset.get("lsn"));
        commit.put("lsn_commit", offset.get("lsn"));
        return commit;
    }

    @Override
    public String positionOfBegin(SourceRecord record) {
        return position(((Struct) record.value()).getInt64("event_count"));
    }

    @Override
    public String idOfBegin(SourceRecord record) {
        String id = ((Struct) record.value()).getString("id");
        return id.substring(0, id.indexOf(':'));
    }

    @Override
    public String positionOfEvent(Struct source) {
        return position(source.getInt64("lsn"));
    }

    @Override
    public String idOfEvent(Struct source) {
        Long id = source.getInt64("txId");
        return id == null ? null : id.toString();
    }

    private static String position(long lsn) {
        return String.format("%020x", lsn);
    }

    @Override
    public Map<String, Object> toResume(Map<String, ?> offset, String transaction) {
        Object committed = offset.get("lsn_commit");
        if (committed == null) {
            return null;
        }
        Map<String, Object> resume = new TreeMap<>();
        resume.put("lsn", committed);
        if (offset.get("ts_usec") != null) {
            resume.put("ts_usec", offset.get("ts_usec"));
        }
        return resume;
    }

    /** Says by `reason` what is wrong with the slot. */
    static final class SlotException extends SQLException {
        private static final long serialVersionUID = 1L;

        SlotException(String reason, String message) {
            super(message, reason);
        }
    }
}
