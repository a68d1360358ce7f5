package millrace;

import io.debezium.spi.converter.CustomConverter;
import io.debezium.spi.converter.RelationalColumn;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.connect.data.SchemaBuilder;

/**
 * Hands on the server's own text of Postgres types that Debezium's conversions lose something of: arrays (more than one
 * dimension, NaN, enums, infinity), bit strings (their length), and types it does not know. Settings of the connector:
 * `converters=rawText`, `rawText.type=millrace.RawText`, `rawText.unchanged=<unavailable.value.placeholder>`.
 */
public final class RawText implements CustomConverter<SchemaBuilder, RelationalColumn> {

    /**
     * Oids of types whose values Debezium gives exactly under our settings, or that are refused before it starts (money,
     * time with time zone). A column of a domain has the oid of the type under it.
     *
     * @see "Postgres source, src/include/catalog/pg_type.dat"
     */
    private static final Set<Integer> EXACT = Set.of(16, 17, 18, 19, 20, 21, 23, 25, 26, 114, 700, 701, 790, 1042, 1043, 1082,
            1114, 1184, 1186, 1266, 1700, 2950, 3802);

    private String unchanged;

    @Override
    public void configure(Properties settings) {
        unchanged = settings.getProperty("unchanged", "__debezium_unavailable_value");
    }

    @Override
    public void converterFor(RelationalColumn column, ConverterRegistration<SchemaBuilder> registration) {
        if (!EXACT.contains(column.nativeType())) {
            registration.register(SchemaBuilder.string().optional(), this::toText);
        }
    }

    private Object toText(Object value) {
        if (value == null) {
            return null;
        }
        // what Debezium puts in the place of a value that the log does not hold is an object without a class of its own
        return value.getClass() == Object.class ? unchanged : value.toString();
    }
}
