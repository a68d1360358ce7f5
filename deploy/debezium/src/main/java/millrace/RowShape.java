package millrace;

import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.connect.data.Decimal;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.source.SourceRecord;

/** How the rows of a table are written, as `proto/log.proto` says: chosen once for all events with the same schemas. */
final class RowShape {

    /** Of `proto/log.proto`: the type's number is its place. */
    private enum Type {
        JSON(WireBytes.LENGTH), BOOLEAN(WireBytes.VARINT), INT32(WireBytes.VARINT), INT64(WireBytes.FIXED64), FLOAT32(WireBytes.FIXED32),
        FLOAT64(WireBytes.FIXED64), TEXT(WireBytes.LENGTH), NUMBER(WireBytes.LENGTH), BYTES(WireBytes.LENGTH);

        private final int wireType;

        Type(int wireType) {
            this.wireType = wireType;
        }
    }

    private record Column(Field field, Type type, int tag, boolean hasDefault) {
    }

    private static final int COLUMNS_MAX = 2_000;

    final int number;
    private final Schema key;
    private final String namespace;
    private final String table;
    private final Column[] rowColumns;
    private final Column[] keyColumns;

    private RowShape(int number, Schema row, Schema key, String namespace, String table) {
        this.number = number;
        this.key = key;
        this.namespace = namespace;
        this.table = table;
        this.rowColumns = describe(row);
        this.keyColumns = key == null ? new Column[0] : describe(key);
    }

    /** Null for what is no change of a row with a key like others. */
    static RowShape of(int number, SourceRecord record) {
        Schema envelope = record.valueSchema();
        Schema key = record.keySchema();
        if (envelope == null || envelope.type() != Schema.Type.STRUCT || envelope.field("op") == null || envelope.field("source") == null) {
            return null;
        }
        Field before = envelope.field("before");
        Field after = envelope.field("after");
        if (before == null || after == null || after.schema().type() != Schema.Type.STRUCT || !after.schema().equals(before.schema())
                || after.schema().fields().size() > COLUMNS_MAX || key != null && key.type() != Schema.Type.STRUCT) {
            return null;
        }
        Struct source = ((Struct) record.value()).getStruct("source");
        String table = table(source);
        String namespace = namespace(source);
        return table == null || namespace == null ? null : new RowShape(number, after.schema(), key, namespace, table);
    }

    /** Whether another event with the same schema of values is written so, too. */
    boolean isOf(SourceRecord record, Struct source) {
        return record.keySchema() == key && table.equals(table(source)) && namespace.equals(namespace(source));
    }

    private static String table(Struct source) {
        return source.schema().field("table") == null ? null : source.getString("table");
    }

    private static String namespace(Struct source) {
        String schema = source.schema().field("schema") == null ? null : source.getString("schema");
        return schema == null && source.schema().field("db") != null ? source.getString("db") : schema;
    }

    /** Whether it is the schema of the key, as which an old key is written. */
    boolean hasKey(Schema schema) {
        return key != null && (schema == key || key.equals(schema));
    }

    private static Column[] describe(Schema schema) {
        List<Column> columns = new ArrayList<>();
        for (Field field : schema.fields()) {
            Type type = choose(field.schema());
            columns.add(new Column(field, type, WireBytes.tag(columns.size() + 1, type.wireType), field.schema().defaultValue() != null));
        }
        return columns.toArray(Column[]::new);
    }

    private static Type choose(Schema schema) {
        return switch (schema.type()) {
            case BOOLEAN -> Type.BOOLEAN;
            case INT8, INT16, INT32 -> Type.INT32;
            case INT64 -> Type.INT64;
            case FLOAT32 -> Type.FLOAT32;
            case FLOAT64 -> Type.FLOAT64;
            case STRING -> Type.TEXT;
            case BYTES -> Decimal.LOGICAL_NAME.equals(schema.name()) ? Type.NUMBER : Type.BYTES;
            case ARRAY, MAP, STRUCT -> Type.JSON;
        };
    }

    void writeTo(WireBytes out, String topic) {
        out.putVarint(WireBytes.tag(1, WireBytes.VARINT));
        out.putVarint(number);
        writeText(out, 2, topic);
        writeText(out, 3, namespace);
        writeText(out, 4, table);
        writeColumns(out, 5, rowColumns);
        writeColumns(out, 6, keyColumns);
    }

    private static void writeColumns(WireBytes out, int field, Column[] columns) {
        for (Column column : columns) {
            int start = out.begin(WireBytes.tag(field, WireBytes.LENGTH));
            writeText(out, 1, column.field.name());
            out.putVarint(WireBytes.tag(2, WireBytes.VARINT));
            out.putVarint(column.type.ordinal());
            out.end(start);
        }
    }

    private static void writeText(WireBytes out, int field, String text) {
        out.putVarint(WireBytes.tag(field, WireBytes.LENGTH));
        out.putText(text);
    }

    void writeRow(WireBytes out, Struct row, JsonBytes json) {
        writeValues(out, rowColumns, row, json);
    }

    void writeKey(WireBytes out, Struct row, JsonBytes json) {
        writeValues(out, keyColumns, row, json);
    }

    private static void writeValues(WireBytes out, Column[] columns, Struct row, JsonBytes json) {
        for (Column column : columns) {
            // by its place; with a default NULL would come as that
            Object value = column.hasDefault ? row.getWithoutDefault(column.field.name()) : row.get(column.field);
            if (value == null) {
                continue;
            }
            out.putVarint(column.tag);
            switch (column.type) {
                case BOOLEAN -> out.putVarint((Boolean) value ? 1 : 0);
                case INT32 -> out.putSigned(((Number) value).intValue());
                case INT64 -> out.putFixed64((Long) value);
                case FLOAT32 -> out.putFixed32(Float.floatToIntBits((Float) value));
                case FLOAT64 -> out.putFixed64(Double.doubleToLongBits((Double) value));
                case TEXT -> out.putText((String) value);
                case NUMBER -> out.putText(((BigDecimal) value).toPlainString());
                case BYTES -> writeBinary(out, value);
                case JSON -> {
                    json.clear();
                    json.write(value);
                    out.putBytes(json.array(), 0, json.length());
                }
            }
        }
    }

    private static void writeBinary(WireBytes out, Object value) {
        if (value instanceof ByteBuffer buffer) {
            byte[] bytes = new byte[buffer.remaining()];
            buffer.duplicate().get(bytes);
            out.putBytes(bytes, 0, bytes.length);
        }
        else {
            byte[] bytes = (byte[]) value;
            out.putBytes(bytes, 0, bytes.length);
        }
    }
}
