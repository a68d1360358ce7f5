package millrace;

import java.io.IOException;
import java.util.Map;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.source.SourceRecord;

/**
 * Turns a connector's records into lines, of which each event stands between the `begin` and the `commit` of its
 * transaction. What the log has outside of any (MySQL's DDL and TRUNCATE) is a transaction of its own, which ends when
 * something else follows: one statement can make several events.
 */
final class Transactions {

    /** An offset is a third of the bytes of a small transaction, and a parent keeps one in seconds. */
    private static final long OFFSET_EVERY_NS = 50_000_000;

    private final Lines lines;
    private final Database database;
    private final String transactionTopic;
    private final String messageTopic;
    /** Null: not inside one. */
    private String position;
    private String id;
    private boolean isImplicit;
    private boolean isBegun;
    /** A transaction that the connector counts as done only when the next begins. */
    private String uncounted;
    private long tsMs;
    private long events;
    /** What `commit` lines have left out. */
    private Map<String, Object> resume;
    private long offsetAt;

    Transactions(Lines lines, Database database, String prefix) {
        this.lines = lines;
        this.database = database;
        this.transactionTopic = prefix + ".transaction";
        this.messageTopic = prefix + ".message";
    }

    void accept(SourceRecord record) throws IOException {
        if (MemoryHistory.hasNews()) {
            writeHistory(record);
        }
        if (record.topic().equals(transactionTopic)) {
            acceptBoundary(record);
        }
        else if (record.topic().startsWith("__debezium-heartbeat.")) {
            acceptHeartbeat(record);
        }
        else if (!record.topic().equals(messageTopic)) {
            acceptEvent(record);
        }
    }

    private void acceptBoundary(SourceRecord record) throws IOException {
        Struct value = (Struct) record.value();
        if (value.getString("status").equals("BEGIN")) {
            // what the log does not end, the next ends: its begin lies behind all of it
            end(record, null);
            position = database.positionOfBegin(record);
            id = database.idOfBegin(record);
            tsMs = value.getInt64("ts_ms");
            uncounted = null;
        }
        else {
            end(record, value.getString("id"));
        }
    }

    private void end(SourceRecord record, String transaction) throws IOException {
        Map<String, Object> found = database.toResume(record.sourceOffset(), transaction);
        if (found != null) {
            resume = found;
        }
        if (isBegun) {
            lines.writeCommit(events, takeOffset(false));
        }
        position = null;
        id = null;
        isImplicit = false;
        isBegun = false;
        events = 0;
    }

    private void acceptEvent(SourceRecord record) throws IOException {
        Struct value = record.value() instanceof Struct struct ? struct : null;
        // a tombstone follows its delete
        if (value != null && (position == null || isImplicit)) {
            Struct source = value.getStruct("source");
            if (source.getString("snapshot") != null && !source.getString("snapshot").equals("false")) {
                return; // a definition as it was found at the start: it is in the history, and nothing has changed
            }
            String at = database.positionOfEvent(source);
            if (!at.equals(position)) {
                if (isBegun) {
                    lines.writeCommit(events, null);
                }
                position = at;
                id = database.idOfEvent(source);
                tsMs = source.getInt64("ts_ms");
                isImplicit = true;
                isBegun = false;
                events = 0;
            }
        }
        if (!isBegun) {
            isBegun = true;
            lines.writeBegin(id, position, tsMs);
        }
        events += 1;
        lines.writeEvent(record, events);
    }

    private void acceptHeartbeat(SourceRecord record) throws IOException {
        // what has come is the whole of it, though no end is written
        if (isImplicit) {
            uncounted = id;
            end(record, id);
        }
        Map<String, Object> found = position == null ? database.toResume(record.sourceOffset(), uncounted) : null;
        if (found != null) {
            resume = found;
        }
        // a sign of life, also inside of a long transaction
        lines.writeHeartbeat(position == null ? takeOffset(true) : null);
    }

    private String takeOffset(boolean now) throws IOException {
        long at = System.nanoTime();
        if (resume == null || (!now && at - offsetAt < OFFSET_EVERY_NS)) {
            return null;
        }
        offsetAt = at;
        String text = Offsets.write(resume);
        resume = null;
        return text;
    }

    /** The log has nothing more for now: what was left out is told. */
    void endIdle() throws IOException {
        if (MemoryHistory.hasNews() && position == null) {
            writeHistory(null);
        }
        if (resume != null && position == null) {
            lines.writeHeartbeat(takeOffset(true));
        }
    }

    /** @param record the next one; null: there is none */
    private void writeHistory(SourceRecord record) throws IOException {
        for (MemoryHistory.Entry entry = MemoryHistory.peek(); entry != null; entry = MemoryHistory.peek()) {
            if (record != null && record.sourceOffset() != null && place(record.sourceOffset()).compareTo(place(entry.position())) < 0) {
                return;
            }
            lines.writeHistory(entry.text());
            MemoryHistory.remove();
        }
    }

    private static String place(Map<String, ?> offset) {
        return offset.get("file") == null ? "" : BinlogDatabase.position((String) offset.get("file"), ((Number) offset.get("pos")).longValue());
    }
}
