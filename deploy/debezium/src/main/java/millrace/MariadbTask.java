package millrace;

import com.github.shyiko.mysql.binlog.MariadbGtidSet;
import com.github.shyiko.mysql.binlog.event.Event;
import com.github.shyiko.mysql.binlog.event.EventData;
import com.github.shyiko.mysql.binlog.event.EventHeaderV4;
import com.github.shyiko.mysql.binlog.event.EventType;
import com.github.shyiko.mysql.binlog.event.MariadbGtidEventData;
import com.github.shyiko.mysql.binlog.event.XidEventData;
import io.debezium.config.Configuration;
import io.debezium.connector.mariadb.MariaDbChangeEventSourceFactory;
import io.debezium.connector.mariadb.MariaDbConnectorTask;
import io.debezium.connector.mariadb.MariaDbOffsetContext;
import io.debezium.connector.mariadb.MariaDbPartition;
import io.debezium.pipeline.ChangeEventSourceCoordinator;
import java.util.List;
import java.util.Map;
import org.apache.kafka.connect.source.SourceRecord;

/**
 * The MariaDB connector, which also ends the transactions of which the log writes no end. The server begins a group of
 * events for each statement; one that stands alone (DDL, TRUNCATE) has neither COMMIT nor XID, and the connector would stay
 * inside of it, at its beginning, until the next group. The group says of itself that it stands alone, and is then whole
 * with its statement: the connector is told an end there, as others have one.
 *
 * @see "MariaDB, Gtid_event: FL_STANDALONE"
 */
public final class MariadbTask extends MariaDbConnectorTask {

    /** LOG_EVENT_IGNORABLE_F: who does not know the event may pass it over. */
    private static final int IGNORABLE = 0x80;

    private final boolean hasGtids;
    private LogEvents events;

    /** @param hasGtids the log goes on behind one; else it begins with the first there ever was */
    MariadbTask(boolean hasGtids) {
        this.hasGtids = hasGtids;
    }

    @Override
    protected ChangeEventSourceCoordinator<MariaDbPartition, MariaDbOffsetContext> start(Configuration configuration) {
        events = new Groups(configuration.asMap());
        ChangeEventSourceCoordinator<MariaDbPartition, MariaDbOffsetContext> coordinator = super.start(configuration);
        events.listen(coordinator, MariaDbChangeEventSourceFactory.class);
        if (!hasGtids) {
            // the reader takes an empty text for no set at all, and fails for want of one
            events.set("gtidSet", new MariadbGtidSet(""));
        }
        return coordinator;
    }

    @Override
    protected List<SourceRecord> doPoll() throws InterruptedException {
        events.check();
        return super.doPoll();
    }

    private static final class Groups extends LogEvents {

        private boolean isInGroup;
        private boolean standsAlone;

        Groups(Map<String, String> properties) {
            super(properties);
        }

        @Override
        void hear(EventHeaderV4 header, EventData data) {
            EventType type = header.getEventType();
            if (type == EventType.MARIADB_GTID) {
                isInGroup = true;
                standsAlone = (((MariadbGtidEventData) data).getFlags() & MariadbGtidEventData.FL_STANDALONE) != 0;
            }
            // what an XA transaction has prepared is told like what is committed, and has no other end either
            else if (type == EventType.QUERY && standsAlone || type == EventType.XA_PREPARE) {
                standsAlone = false;
                tellEnd(header);
            }
            else if (type == EventType.FORMAT_DESCRIPTION) {
                // behind it the file says how it is encrypted, which the server has undone
                isInGroup = false;
            }
            else if (type == EventType.UNKNOWN && isInGroup && (header.getFlags() & IGNORABLE) == 0) {
                refuse("the log has an event before " + place(header) + " that this reader does not know, as log_bin_compress makes them");
            }
        }

        private void tellEnd(EventHeaderV4 last) {
            EventHeaderV4 header = new EventHeaderV4();
            header.setEventType(EventType.XID);
            header.setTimestamp(last.getTimestamp());
            header.setServerId(last.getServerId());
            // takes no bytes, and stands where the next group begins
            header.setNextPosition(last.getNextPosition());
            tell(new Event(header, new XidEventData()));
        }
    }
}
