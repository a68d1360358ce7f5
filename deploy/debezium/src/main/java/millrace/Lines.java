package millrace;

import com.fasterxml.jackson.core.JsonGenerator;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.sql.SQLException;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.source.SourceRecord;

/**
 * The lines on stdout, one behind the other or in frames, where events are no lines. A parent that does not read them
 * holds the writer up, and that the whole connector.
 */
final class Lines {

    private static final int BUFFER_BYTES = 256 * 1024;
    private static final int CAUSES_MAX = 8;

    private final OutputStream out;
    private final int lineBytesMax;
    private final boolean discard;
    private final byte[] buffer = new byte[BUFFER_BYTES];
    private final JsonBytes json = new JsonBytes();
    private final Map<String, Object> headers = new LinkedHashMap<>();
    /** Null: lines alone. */
    private final Frames frames;
    private int used;
    /** Of the last event. */
    private long number;

    Lines(OutputStream out, int lineBytesMax, boolean discard, boolean hasFrames) {
        this.out = out;
        this.lineBytesMax = lineBytesMax;
        this.discard = discard;
        this.frames = hasFrames ? new Frames(out) : null;
    }

    long number() {
        return number;
    }

    void writeEvent(SourceRecord record, long order) throws IOException {
        number += 1;
        if (discard) {
            return;
        }
        if (frames != null && frames.writeEvent(record, order, number, lineBytesMax)) {
            return;
        }
        json.clear();
        json.write(record.key());
        int keyBytes = json.length();
        json.write(record.value());
        int valueBytes = json.length() - keyBytes;
        if (json.length() > lineBytesMax) {
            throw new LineTooLongException(record.topic(), json.length(), lineBytesMax);
        }
        int headersFrom = json.length();
        for (Header header : record.headers()) {
            // the old and the new key, where one was changed
            headers.put(header.key(), header.value());
        }
        if (!headers.isEmpty()) {
            json.write(headers);
            headers.clear();
        }
        begin();
        put("{\"t\":\"event\",\"n\":" + number + ",\"e\":" + order + ",\"kb\":" + keyBytes + ",\"vb\":" + valueBytes
                + ",\"d\":" + quote(record.topic()) + ",\"k\":");
        put(json.array(), 0, keyBytes);
        put(",\"v\":");
        put(json.array(), keyBytes, valueBytes);
        if (json.length() > headersFrom) {
            put(",\"h\":");
            put(json.array(), headersFrom, json.length() - headersFrom);
        }
        put("}");
        end();
    }

    void writeBegin(String transaction, String position, long tsMs) throws IOException {
        if (!discard) {
            line("{\"t\":\"begin\",\"n\":" + (number + 1) + ",\"tx\":" + quote(transaction) + ",\"p\":" + quote(position)
                    + ",\"ms\":" + tsMs + "}");
        }
    }

    void writeCommit(long events, String offset) throws IOException {
        line("{\"t\":\"commit\",\"n\":" + number + ",\"events\":" + events + ",\"o\":" + quote(offset) + "}");
    }

    void writeHeartbeat(String offset) throws IOException {
        line("{\"t\":\"heartbeat\",\"n\":" + number + ",\"o\":" + quote(offset) + "}");
    }

    void writeHistory(String record) throws IOException {
        line("{\"t\":\"history\",\"r\":" + quote(record) + "}");
    }

    void writeStarted(String version) throws IOException {
        line("{\"t\":\"started\",\"debezium\":" + quote(version) + ",\"java\":" + quote(System.getProperty("java.version")) + "}");
        flush();
    }

    void writeReady() throws IOException {
        line("{\"t\":\"ready\"}");
    }

    void writeStopped() throws IOException {
        line("{\"t\":\"stopped\",\"n\":" + number + "}");
        flush();
    }

    /** The causes from the outside in, each with its class, its words and what the server's protocol says beside. */
    void writeError(Throwable failure) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (JsonGenerator error = Main.JSON.createGenerator(bytes)) {
            error.writeStartObject();
            error.writeStringField("t", "error");
            error.writeNumberField("n", number);
            error.writeArrayFieldStart("causes");
            int count = 0;
            for (Throwable cause = failure; cause != null && count < CAUSES_MAX; cause = cause.getCause(), count += 1) {
                error.writeStartObject();
                error.writeStringField("class", cause.getClass().getName());
                error.writeStringField("message", String.valueOf(cause.getMessage()));
                if (cause instanceof SQLException sql) {
                    error.writeStringField("sqlState", sql.getSQLState());
                    error.writeNumberField("vendorCode", sql.getErrorCode());
                }
                error.writeEndObject();
            }
            error.writeEndArray();
            error.writeEndObject();
        }
        begin();
        put(bytes.toByteArray());
        end();
        flush();
    }

    void flush() throws IOException {
        if (frames != null) {
            frames.flush(number);
        }
        if (used > 0) {
            out.write(buffer, 0, used);
            used = 0;
        }
    }

    private void line(String text) throws IOException {
        begin();
        put(text);
        end();
    }

    private void begin() {
        if (frames != null) {
            frames.beginLine();
        }
    }

    private void end() throws IOException {
        if (frames != null) {
            frames.endLine(number);
        }
        else {
            put("\n");
        }
    }

    private void put(String text) throws IOException {
        put(text.getBytes(StandardCharsets.UTF_8));
    }

    private void put(byte[] bytes) throws IOException {
        put(bytes, 0, bytes.length);
    }

    private void put(byte[] bytes, int from, int length) throws IOException {
        if (frames != null) {
            frames.put(bytes, from, length);
            return;
        }
        if (length > BUFFER_BYTES - used) {
            flush();
        }
        if (length > BUFFER_BYTES) {
            out.write(bytes, from, length);
            return;
        }
        System.arraycopy(bytes, from, buffer, used, length);
        used += length;
    }

    private static String quote(String text) {
        if (text == null) {
            return "null";
        }
        return "\"" + new String(com.fasterxml.jackson.core.io.JsonStringEncoder.getInstance().quoteAsString(text)) + "\"";
    }

    /** A single row that the parent would not take. */
    static final class LineTooLongException extends RuntimeException {
        private static final long serialVersionUID = 1L;

        LineTooLongException(String topic, long bytes, int bytesMax) {
            super("an event of " + topic + " has " + bytes + " bytes, more than " + bytesMax);
        }
    }
}
