package millrace;

import io.debezium.document.DocumentReader;
import io.debezium.document.DocumentWriter;
import io.debezium.relational.history.AbstractSchemaHistory;
import io.debezium.relational.history.HistoryRecord;
import io.debezium.relational.history.SchemaHistoryException;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.function.Consumer;

/**
 * The schema history, given by the parent at the start and handed back record by record. A record is recorded by the
 * thread that reads the log, ahead of the events that are still on their way: it is written where it belongs between
 * them, so that what a parent has read up to any offset is the history up to that offset.
 */
public final class MemoryHistory extends AbstractSchemaHistory {

    record Entry(Map<String, Object> position, String text) {
    }

    private static List<HistoryRecord> known = new ArrayList<>();
    private static final Queue<Entry> news = new ArrayDeque<>();
    private static volatile boolean hasNews;

    static void begin(List<String> history) throws IOException {
        known = new ArrayList<>(history.size());
        for (String text : history) {
            known.add(new HistoryRecord(DocumentReader.defaultReader().read(text)));
        }
    }

    static boolean hasNews() {
        return hasNews;
    }

    /** Null when there is none. */
    static Entry peek() {
        synchronized (news) {
            return news.peek();
        }
    }

    static void remove() {
        synchronized (news) {
            news.remove();
            hasNews = !news.isEmpty();
        }
    }

    @Override
    protected void storeRecord(HistoryRecord record) {
        try {
            String text = DocumentWriter.defaultWriter().write(record.document());
            Map<String, Object> position = Offsets.read(DocumentWriter.defaultWriter().write(
                    record.document().getDocument(HistoryRecord.Fields.POSITION)));
            synchronized (news) {
                known.add(record);
                news.add(new Entry(position, text));
                hasNews = true;
            }
        }
        catch (IOException failure) {
            throw new SchemaHistoryException("a record of the schema history cannot be written", failure);
        }
    }

    @Override
    protected void recoverRecords(Consumer<HistoryRecord> records) {
        List<HistoryRecord> all;
        synchronized (news) {
            all = List.copyOf(known);
        }
        all.forEach(records);
    }

    @Override
    public boolean exists() {
        synchronized (news) {
            return !known.isEmpty();
        }
    }

    @Override
    public boolean storageExists() {
        return true;
    }
}
