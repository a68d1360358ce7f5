package millrace;

import java.io.IOException;
import java.io.OutputStream;
import java.util.IdentityHashMap;
import java.util.Map;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.source.SourceRecord;

/** Lines and events in frames, as `proto/log.proto` has them. What an event's values are called is said once. */
final class Frames {

    /** Of a frame that is full: what a reader gets at once. A single event may make it larger. */
    private static final int FRAME_BYTES = 60_000;
    private static final int CAPACITY_KEPT = 256 * 1024;
    /** In front of the items: a frame's length, and the number of events before it. */
    private static final int HEAD_BYTES_MAX = 5 + 1 + 10;
    private static final int SHAPES_MAX = 10_000;
    private static final String OLD_KEY = "__debezium.oldkey";

    private static final int EVENTS_BEFORE = WireBytes.tag(1, WireBytes.VARINT);
    private static final int ITEM = WireBytes.tag(2, WireBytes.LENGTH);
    private static final int LINE = WireBytes.tag(1, WireBytes.LENGTH);
    private static final int SHAPE = WireBytes.tag(2, WireBytes.LENGTH);
    private static final int EVENT = WireBytes.tag(3, WireBytes.LENGTH);

    private final OutputStream out;
    private final WireBytes items = new WireBytes(CAPACITY_KEPT);
    private final WireBytes head = new WireBytes(HEAD_BYTES_MAX);
    private final JsonBytes json = new JsonBytes();
    private final Map<Schema, RowShape> shapes = new IdentityHashMap<>();
    private long eventsBefore;
    private int itemStart;
    private int lineStart;

    Frames(OutputStream out) {
        this.out = out;
        items.cut(HEAD_BYTES_MAX);
    }

    void beginLine() {
        itemStart = items.begin(ITEM);
        lineStart = items.begin(LINE);
    }

    void put(byte[] bytes, int from, int length) {
        items.put(bytes, from, length);
    }

    /** @param events that have been told, this line's among them */
    void endLine(long events) throws IOException {
        items.end(lineStart);
        items.end(itemStart);
        flushFull(events);
    }

    /**
     * Writes the event, unless it is another than one row's change: then nothing is written.
     * @param events that have been told, this one among them
     */
    boolean writeEvent(SourceRecord record, long order, long events, int eventBytesMax) throws IOException {
        RowShape shape = findShape(record);
        if (shape == null) {
            return false;
        }
        Struct value = (Struct) record.value();
        Struct oldKey = null;
        Header header = record.headers().lastWithName(OLD_KEY);
        if (header != null && header.value() != null) {
            if (!(header.value() instanceof Struct struct) || !shape.hasKey(struct.schema())) {
                return false;
            }
            oldKey = struct;
        }
        String op = value.getString("op");
        Long committedUs = value.getStruct("source").getInt64("ts_us");
        if (op.length() != 1 || committedUs == null) {
            return false;
        }
        int start = items.length();
        boolean isWhole = false;
        try {
            int item = items.begin(ITEM);
            int event = items.begin(EVENT);
            items.putVarint(WireBytes.tag(1, WireBytes.VARINT));
            items.putVarint(shape.number);
            items.putVarint(WireBytes.tag(2, WireBytes.VARINT));
            items.putVarint(op.charAt(0));
            items.putVarint(WireBytes.tag(3, WireBytes.VARINT));
            items.putVarint(order);
            items.putVarint(WireBytes.tag(4, WireBytes.FIXED64));
            items.putFixed64(committedUs);
            writeKey(5, shape, (Struct) record.key());
            writeKey(6, shape, oldKey);
            writeRow(7, shape, value.getStruct("before"));
            writeRow(8, shape, value.getStruct("after"));
            int length = items.length() - event;
            if (length > eventBytesMax) {
                throw new Lines.LineTooLongException(record.topic(), length, eventBytesMax);
            }
            items.end(event);
            items.end(item);
            isWhole = true;
        }
        finally {
            if (!isWhole) {
                items.cut(start); // what went wrong is told in a line behind the events before
            }
        }
        flushFull(events);
        return true;
    }

    private void writeKey(int field, RowShape shape, Struct row) {
        if (row != null) {
            int start = items.begin(WireBytes.tag(field, WireBytes.LENGTH));
            shape.writeKey(items, row, json);
            items.end(start);
        }
    }

    private void writeRow(int field, RowShape shape, Struct row) {
        if (row != null) {
            int start = items.begin(WireBytes.tag(field, WireBytes.LENGTH));
            shape.writeRow(items, row, json);
            items.end(start);
        }
    }

    /** Null where its events are written as lines. */
    private RowShape findShape(SourceRecord record) {
        if (!(record.value() instanceof Struct value)) {
            return null;
        }
        RowShape known = shapes.get(record.valueSchema());
        if (known != null && known.isOf(record, value.getStruct("source"))) {
            return known;
        }
        if (shapes.size() >= SHAPES_MAX) {
            shapes.clear(); // each change of a table's definition has made new ones
        }
        RowShape made = RowShape.of(known == null ? shapes.size() + 1 : known.number, record);
        if (made == null) {
            return null;
        }
        shapes.put(record.valueSchema(), made);
        int item = items.begin(ITEM);
        int start = items.begin(SHAPE);
        made.writeTo(items, record.topic());
        items.end(start);
        items.end(item);
        return made;
    }

    private void flushFull(long events) throws IOException {
        if (items.length() >= FRAME_BYTES) {
            flush(events);
        }
    }

    /** @param events that have been told */
    void flush(long events) throws IOException {
        int length = items.length() - HEAD_BYTES_MAX;
        if (length > 0) {
            head.cut(0);
            head.putVarint(EVENTS_BEFORE);
            head.putVarint(eventsBefore);
            int before = head.length();
            head.cut(0);
            head.putVarint(before + length);
            head.putVarint(EVENTS_BEFORE);
            head.putVarint(eventsBefore);
            int start = HEAD_BYTES_MAX - head.length();
            System.arraycopy(head.array(), 0, items.array(), start, head.length());
            out.write(items.array(), start, items.length() - start);
            items.clear(HEAD_BYTES_MAX, CAPACITY_KEPT);
        }
        eventsBefore = events;
    }
}
