package millrace;

import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.errors.DataException;

/**
 * Keys and values as JSON: what Kafka Connect's JsonConverter makes of them without schemas, decimals as numbers, a
 * null never replaced by its column's default, straight into bytes. The converter builds a tree of nodes first, and
 * copies strings twice; it took as long as all that the connector does before.
 */
final class JsonBytes {

    /** Of the envelope and of its `source`: the same in every event, or said by `begin`, or by another of them. */
    private static final Set<String> LEFT_OUT_OF_ENVELOPE = Set.of("ts_ms", "ts_us", "ts_ns", "transaction");
    private static final Set<String> LEFT_OUT_OF_SOURCE = Set.of("version", "connector", "name", "ts_ms", "ts_ns", "sequence", "xmin",
            "origin", "origin_lsn", "thread", "query", "server_id");
    private static final byte[] NULL = ascii("null");
    private static final byte[] TRUE = ascii("true");
    private static final byte[] FALSE = ascii("false");
    private static final byte[] HEX = ascii("0123456789abcdef");
    private static final int SCHEMAS_MAX = 10_000;
    private static final int BYTES_MIN = 1024;
    /** What is kept after a large value. */
    private static final int BYTES_KEPT_MAX = 1024 * 1024;

    /** Members of a struct: the field, and its name with what is in front of it. */
    private record Member(Field field, byte[] prefix) {
    }

    private final Map<Schema, Member[]> members = new IdentityHashMap<>();
    private byte[] bytes = new byte[BYTES_MIN];
    private int used;

    byte[] array() {
        return bytes;
    }

    int length() {
        return used;
    }

    void clear() {
        used = 0;
        if (bytes.length > BYTES_KEPT_MAX) {
            bytes = new byte[BYTES_MIN];
        }
    }

    /** @throws DataException for a class of values that no setting of ours makes */
    void write(Object value) {
        if (value == null) {
            put(NULL);
        }
        else if (value instanceof String text) {
            writeText(text);
        }
        else if (value instanceof Long || value instanceof Integer || value instanceof Short || value instanceof Byte) {
            putAscii(value.toString());
        }
        else if (value instanceof Struct struct) {
            writeStruct(struct);
        }
        else if (value instanceof Boolean flag) {
            put(flag ? TRUE : FALSE);
        }
        else if (value instanceof Double number) {
            writeNumber(value.toString(), Double.isFinite(number));
        }
        else if (value instanceof Float number) {
            writeNumber(value.toString(), Float.isFinite(number));
        }
        else if (value instanceof BigDecimal number) {
            putAscii(number.toPlainString());
        }
        else if (value instanceof byte[] binary) {
            writeBinary(binary);
        }
        else if (value instanceof ByteBuffer buffer) {
            byte[] binary = new byte[buffer.remaining()];
            buffer.duplicate().get(binary);
            writeBinary(binary);
        }
        else if (value instanceof List<?> list) {
            writeList(list);
        }
        else if (value instanceof Map<?, ?> map) {
            writeMap(map);
        }
        else {
            throw new DataException("a value of " + value.getClass().getName() + " has no form in JSON");
        }
    }

    private void writeStruct(Struct struct) {
        if (members.size() >= SCHEMAS_MAX) {
            members.clear(); // each change of a table's definition has made new ones
        }
        Member[] known = members.computeIfAbsent(struct.schema(), JsonBytes::describe);
        put('{');
        for (Member member : known) {
            put(member.prefix);
            write(struct.getWithoutDefault(member.field.name()));
        }
        put('}');
    }

    private static Member[] describe(Schema schema) {
        boolean isEnvelope = schema.field("op") != null && schema.field("source") != null;
        boolean isSource = schema.field("connector") != null && schema.field("version") != null && schema.field("snapshot") != null;
        Set<String> leftOut = isEnvelope ? LEFT_OUT_OF_ENVELOPE : isSource ? LEFT_OUT_OF_SOURCE : Set.of();
        JsonBytes names = new JsonBytes();
        List<Member> found = new ArrayList<>();
        for (Field field : schema.fields()) {
            if (leftOut.contains(field.name())) {
                continue;
            }
            names.used = 0;
            if (!found.isEmpty()) {
                names.put(',');
            }
            names.writeText(field.name());
            names.put(':');
            found.add(new Member(field, Arrays.copyOf(names.bytes, names.used)));
        }
        return found.toArray(Member[]::new);
    }

    private void writeList(List<?> list) {
        char separator = '[';
        for (Object one : list) {
            put(separator);
            write(one);
            separator = ',';
        }
        if (separator == '[') {
            put('[');
        }
        put(']');
    }

    private void writeMap(Map<?, ?> map) {
        char separator = '{';
        for (Map.Entry<?, ?> entry : map.entrySet()) {
            put(separator);
            writeText(String.valueOf(entry.getKey()));
            put(':');
            write(entry.getValue());
            separator = ',';
        }
        if (separator == '{') {
            put('{');
        }
        put('}');
    }

    private void writeNumber(String text, boolean isFinite) {
        if (isFinite) {
            putAscii(text);
        }
        else {
            writeText(text);
        }
    }

    private void writeBinary(byte[] binary) {
        put('"');
        put(Base64.getEncoder().encode(binary));
        put('"');
    }

    private void writeText(String text) {
        int length = text.length();
        reserve(length + 2);
        bytes[used++] = '"';
        int at = 0;
        while (at < length) {
            char c = text.charAt(at);
            if (c < 0x20 || c == '"' || c == '\\' || c >= 0x80) {
                break;
            }
            bytes[used++] = (byte) c;
            at += 1;
        }
        if (at < length) {
            writeOdd(text, at);
        }
        put('"');
    }

    /** From the first character on that is not itself in JSON. */
    private void writeOdd(String text, int from) {
        byte[] utf8 = text.substring(from).getBytes(StandardCharsets.UTF_8);
        for (byte one : utf8) {
            if (one == '"' || one == '\\') {
                put('\\');
                put((char) one);
            }
            else if (one >= 0 && one < 0x20) {
                putAscii("\\u00");
                put((char) HEX[one >> 4]);
                put((char) HEX[one & 15]);
            }
            else {
                reserve(1);
                bytes[used++] = one;
            }
        }
    }

    private void put(char ascii) {
        reserve(1);
        bytes[used++] = (byte) ascii;
    }

    @SuppressWarnings("deprecation") // the one way without a copy: only ASCII comes here
    private void putAscii(String text) {
        int length = text.length();
        reserve(length);
        text.getBytes(0, length, bytes, used);
        used += length;
    }

    private void put(byte[] some) {
        reserve(some.length);
        System.arraycopy(some, 0, bytes, used, some.length);
        used += some.length;
    }

    private void reserve(int more) {
        if (bytes.length - used < more) {
            bytes = Arrays.copyOf(bytes, Math.max(Math.addExact(used, more), bytes.length < Integer.MAX_VALUE / 2 ? bytes.length * 2 : 0));
        }
    }

    private static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.US_ASCII);
    }
}
