package millrace;

import io.debezium.connector.common.BaseSourceTask;
import java.lang.management.ManagementFactory;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import javax.management.MBeanServer;
import javax.management.ObjectName;
import org.apache.kafka.common.metrics.PluginMetrics;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.source.SourceTaskContext;
import org.apache.kafka.connect.storage.OffsetStorageReader;

/** Drives one connector's task as Kafka Connect does: start, poll, commit, stop. */
final class Runner {

    private static final String VERSION = "3.5.0.Final";
    /** The connector passes over a commit that comes before its first message, so it is asked again. */
    private static final long COMMIT_AGAIN_MS = 5_000;

    private final Lines lines;
    private final Database database;
    private Map<String, String> properties;
    private volatile Map<String, Object> offset;
    private volatile boolean started;
    private volatile boolean stopping;
    private BaseSourceTask<?, ?> task;

    Runner(Lines lines, Map<String, String> properties, String offset, List<String> history) throws Exception {
        this.lines = lines;
        this.database = Database.of(properties.get("connector.class"));
        this.properties = properties;
        this.offset = offset == null ? null : database.readOffset(offset);
        MemoryHistory.begin(history);
    }

    void run() throws Exception {
        properties = database.toProperties(properties);
        database.check(properties, offset);
        if (stopping) {
            return;
        }
        task = database.createTask();
        task.initialize(new Context());
        task.start(properties);
        started = true;
        lines.writeStarted(VERSION);
        Transactions transactions = new Transactions(lines, database, properties.get("topic.prefix"));
        boolean ready = false;
        long committedAt = System.nanoTime();
        try {
            while (!stopping) {
                List<SourceRecord> records = task.poll();
                if (records != null && !records.isEmpty()) {
                    for (SourceRecord record : records) {
                        transactions.accept(record);
                    }
                }
                else {
                    transactions.endIdle();
                }
                if (!ready && isStreaming()) {
                    ready = true;
                    lines.writeReady();
                }
                lines.flush();
                long now = System.nanoTime();
                if (now - committedAt > COMMIT_AGAIN_MS * 1_000_000) {
                    committedAt = now;
                    task.commit();
                }
            }
        }
        finally {
            task.stop();
        }
    }

    /** Everything up to this offset is durable at the other end: only now may the source forget it. */
    void acknowledge(String text) {
        try {
            offset = database.readOffset(text);
            if (started) {
                task.performCommit();
            }
        }
        catch (Exception failure) {
            // a connection that is gone ends the polling thread, which says so
            System.err.println("[WARN] millrace.Runner - an acknowledgement was not passed on: " + failure);
        }
    }

    void stop() {
        stopping = true;
    }

    private boolean isStreaming() throws Exception {
        MBeanServer beans = ManagementFactory.getPlatformMBeanServer();
        ObjectName name = new ObjectName("debezium." + database.metricsName() + ":type=connector-metrics,context=streaming,server="
                + properties.get("topic.prefix"));
        return beans.isRegistered(name) && Boolean.TRUE.equals(beans.getAttribute(name, "Connected"));
    }

    /** What the connector asks for where to start, and from then on for how far to move the source. */
    private final class Context implements SourceTaskContext, OffsetStorageReader {

        @Override
        public Map<String, String> configs() {
            return properties;
        }

        @Override
        public OffsetStorageReader offsetStorageReader() {
            return this;
        }

        @Override
        public PluginMetrics pluginMetrics() {
            return null; // of Kafka Connect's own, which no connector here asks for
        }

        @Override
        public <T> Map<String, Object> offset(Map<String, T> partition) {
            Map<String, Object> current = offset;
            return current == null ? null : started ? database.toCommit(current) : database.toStart(current);
        }

        @Override
        public <T> Map<Map<String, T>, Map<String, Object>> offsets(Collection<Map<String, T>> partitions) {
            Map<Map<String, T>, Map<String, Object>> found = new HashMap<>();
            for (Map<String, T> partition : partitions) {
                found.put(partition, offset(partition));
            }
            return found;
        }
    }
}
