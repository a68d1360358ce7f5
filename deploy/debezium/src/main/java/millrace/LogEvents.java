package millrace;

import com.github.shyiko.mysql.binlog.BinaryLogClient;
import com.github.shyiko.mysql.binlog.event.Event;
import com.github.shyiko.mysql.binlog.event.EventData;
import com.github.shyiko.mysql.binlog.event.EventHeaderV4;
import com.github.shyiko.mysql.binlog.event.EventType;
import com.github.shyiko.mysql.binlog.event.QueryEventData;
import com.github.shyiko.mysql.binlog.event.TableMapEventData;
import com.github.shyiko.mysql.binlog.event.TableMapEventMetadata;
import com.github.shyiko.mysql.binlog.event.XAPrepareEventData;
import com.github.shyiko.mysql.binlog.event.deserialization.EventDeserializer;
import com.github.shyiko.mysql.binlog.event.deserialization.EventDeserializer.EventDataWrapper;
import com.github.shyiko.mysql.binlog.event.deserialization.TableMapEventDataDeserializer;
import com.github.shyiko.mysql.binlog.event.deserialization.TableMapEventMetadataDeserializer;
import com.github.shyiko.mysql.binlog.io.ByteArrayInputStream;
import io.debezium.DebeziumException;
import io.debezium.pipeline.ChangeEventSourceCoordinator;
import java.lang.reflect.Field;
import java.sql.SQLException;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Hears each event of a binlog behind the connector, and ends the connector by name where it would pass over in silence
 * what matters. Of an XA transaction the connector tells the rows where it is prepared, and then nothing: where it is
 * rolled back later, its rows have been told and are in no table.
 */
class LogEvents implements BinaryLogClient.EventListener {

    /** Of XA transactions that are prepared at a time; more of them are taken for ours. */
    private static final int FOREIGN_MAX = 10_000;
    private static final Pattern XA_END = Pattern.compile("\\s*XA\\s+(COMMIT|ROLLBACK)\\s+X'([0-9A-F]*)'\\s*,\\s*X'([0-9A-F]*)'\\s*,\\s*(\\d+).*",
            Pattern.CASE_INSENSITIVE | Pattern.DOTALL);

    private final Pattern followed;
    /** Prepared, with rows of none of our tables. */
    private final Set<String> foreign = new HashSet<>();
    private BinaryLogClient client;
    private boolean isLast;
    private boolean isOurs;
    /** Set by the thread that reads the log. */
    private volatile SQLException fault;

    /** Before the connector starts: behind that each moment counts. */
    LogEvents(Map<String, String> properties) {
        followed = Pattern.compile(properties.getOrDefault("table.include.list", ".*").replace(',', '|'), Pattern.CASE_INSENSITIVE);
    }

    /**
     * Behind the connector's start, and before it has reached its server.
     * @param factory of the connector's, which has the reader of the log
     */
    final void listen(ChangeEventSourceCoordinator<?, ?> coordinator, Class<?> factory) {
        Object made = read(ChangeEventSourceCoordinator.class, "changeEventSourceFactory", coordinator);
        client = (BinaryLogClient) read(factory, "binaryLogClient", made);
        client.registerEventListener(this);
        if (client.isConnected()) {
            throw new DebeziumException("the log was read before anybody listened to it");
        }
    }

    private static Object read(Class<?> type, String name, Object of) {
        try {
            return find(type, name).get(of);
        }
        catch (ReflectiveOperationException failure) {
            throw unfit(failure);
        }
    }

    final void set(String name, Object value) {
        try {
            find(BinaryLogClient.class, name).set(client, value);
        }
        catch (ReflectiveOperationException failure) {
            throw unfit(failure);
        }
    }

    private static Field find(Class<?> type, String name) throws ReflectiveOperationException {
        Field field = type.getDeclaredField(name);
        field.setAccessible(true);
        return field;
    }

    private static DebeziumException unfit(ReflectiveOperationException failure) {
        return new DebeziumException("this version of the connector has no reader of the log to listen to", failure);
    }

    /** By the thread that takes what the connector tells. */
    final void check() {
        if (fault != null) {
            throw new DebeziumException(fault);
        }
    }

    @Override
    public final void onEvent(Event event) {
        if (!isLast) {
            // the connector began to listen only behind this one; the first event begins no group
            client.unregisterEventListener(this);
            client.registerEventListener(this);
            isLast = true;
            passOverMetadata();
        }
        EventHeaderV4 header = event.getHeader();
        EventData data = EventDataWrapper.internal(event.getData());
        switch (header.getEventType()) {
            case GTID, ANONYMOUS_GTID, MARIADB_GTID -> isOurs = false;
            case TABLE_MAP -> {
                TableMapEventData table = (TableMapEventData) data;
                isOurs = isOurs || followed.matcher(table.getDatabase() + "." + table.getTable()).matches();
            }
            case XA_PREPARE -> notePrepared((XAPrepareEventData) data);
            case QUERY -> followXa(((QueryEventData) data).getSql(), header);
            default -> {
            }
        }
        hear(header, data);
    }

    /**
     * Of what the server says of a table beside its types nobody here makes use, and the reader knows of new servers only
     * how long it is: where YEAR is not counted among the numbers (MySQL 8.0.15), it reads behind the end. A table of 16
     * numbers and a YEAR would end every start. The first event of a connection tells of no table, so this is in time.
     */
    private void passOverMetadata() {
        TableMapEventDataDeserializer tables = new TableMapEventDataDeserializer();
        TableMapEventMetadataDeserializer none = new TableMapEventMetadataDeserializer() {
            @Override
            public TableMapEventMetadata deserialize(ByteArrayInputStream in, int columns, byte[] types) {
                return null;
            }
        };
        try {
            find(TableMapEventDataDeserializer.class, "metadataDeserializer").set(tables, none);
        }
        catch (ReflectiveOperationException failure) {
            throw unfit(failure);
        }
        ((EventDeserializer) read(BinaryLogClient.class, "eventDeserializer", client)).setEventDataDeserializer(EventType.TABLE_MAP, tables);
    }

    /** For what one of the servers has alone. */
    void hear(EventHeaderV4 header, EventData data) {
    }

    private void notePrepared(XAPrepareEventData prepared) {
        if (isOurs || prepared.isOnePhase() || foreign.size() >= FOREIGN_MAX) {
            return;
        }
        byte[] bytes = prepared.getData();
        int length = prepared.getGtridLength();
        HexFormat hex = HexFormat.of();
        foreign.add(hex.formatHex(bytes, 0, length) + "." + hex.formatHex(bytes, length, bytes.length) + "." + prepared.getFormatID());
    }

    private void followXa(String sql, EventHeaderV4 header) {
        if (sql.length() > 2_000) {
            return;
        }
        Matcher end = XA_END.matcher(sql);
        if (!end.matches()) {
            return;
        }
        boolean isForeign = foreign.remove(
                end.group(2).toLowerCase() + "." + end.group(3).toLowerCase() + "." + (int) Long.parseLong(end.group(4)));
        if (end.group(1).equalsIgnoreCase("ROLLBACK") && !isForeign) {
            refuse("an XA transaction was rolled back before " + place(header)
                    + " that had been prepared, and is copied since: its tables have to be copied again (--resync)");
        }
    }

    /** To the connector alone. */
    final void tell(Event event) {
        for (BinaryLogClient.EventListener listener : client.getEventListeners()) {
            if (listener != this) {
                listener.onEvent(event);
            }
        }
    }

    /** Nothing of what follows is told: its end would count as that of a whole transaction. */
    final void refuse(String why) {
        for (BinaryLogClient.EventListener listener : client.getEventListeners()) {
            client.unregisterEventListener(listener);
        }
        fault = new SQLException(why, "log_unread");
    }

    final String place(EventHeaderV4 header) {
        return client.getBinlogFilename() + ":" + header.getNextPosition();
    }
}
