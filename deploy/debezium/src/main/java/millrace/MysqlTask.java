package millrace;

import io.debezium.config.Configuration;
import io.debezium.connector.mysql.MySqlChangeEventSourceFactory;
import io.debezium.connector.mysql.MySqlConnectorTask;
import io.debezium.connector.mysql.MySqlOffsetContext;
import io.debezium.connector.mysql.MySqlPartition;
import io.debezium.pipeline.ChangeEventSourceCoordinator;
import java.util.List;
import org.apache.kafka.connect.source.SourceRecord;

/** The MySQL connector, whose log is listened to as well. */
public final class MysqlTask extends MySqlConnectorTask {

    private LogEvents events;

    @Override
    public ChangeEventSourceCoordinator<MySqlPartition, MySqlOffsetContext> start(Configuration configuration) {
        events = new LogEvents(configuration.asMap());
        ChangeEventSourceCoordinator<MySqlPartition, MySqlOffsetContext> coordinator = super.start(configuration);
        events.listen(coordinator, MySqlChangeEventSourceFactory.class);
        return coordinator;
    }

    @Override
    public List<SourceRecord> doPoll() throws InterruptedException {
        events.check();
        return super.doPoll();
    }
}
