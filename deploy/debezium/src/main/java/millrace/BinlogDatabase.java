package millrace;

import com.github.shyiko.mysql.binlog.GtidSet;
import io.debezium.connector.common.BaseSourceTask;
import io.debezium.relational.history.SchemaHistory;
import java.io.IOException;
import java.security.GeneralSecurityException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.source.SourceRecord;

/** MySQL and MariaDB. */
final class BinlogDatabase implements Database {

    private final String name;
    private boolean hasGtids;

    BinlogDatabase(String name) {
        this.name = name;
    }

    @Override
    public void check(Map<String, String> properties, Map<String, Object> offset) {
        // the connector itself refuses a binlog that is gone
        hasGtids = offset != null && offset.get("gtids") != null;
    }

    /** The connector has a list of statements that it does not parse, which is made longer. */
    @Override
    public Map<String, String> toProperties(Map<String, String> properties) throws IOException, GeneralSecurityException {
        Map<String, String> all = new TreeMap<>(properties);
        String foreign = all.remove("millrace.ddl.foreign");
        if (foreign != null) {
            all.put(SchemaHistory.DDL_FILTER.name(), SchemaHistory.DDL_FILTER.defaultValueAsString() + "," + foreign);
        }
        KeyStores.provide(all);
        return all;
    }

    @Override
    public BaseSourceTask<?, ?> createTask() {
        return name.equals("mysql") ? new MysqlTask() : new MariadbTask(hasGtids);
    }

    @Override
    public String metricsName() {
        return name;
    }

    @Override
    public Map<String, Object> toStart(Map<String, Object> offset) {
        return offset;
    }

    @Override
    public Map<String, Object> toCommit(Map<String, Object> offset) {
        return offset;
    }

    @Override
    public String positionOfBegin(SourceRecord record) {
        return position((String) record.sourceOffset().get("file"), ((Number) record.sourceOffset().get("pos")).longValue());
    }

    @Override
    public String idOfBegin(SourceRecord record) {
        return ((Struct) record.value()).getString("id");
    }

    @Override
    public String positionOfEvent(Struct source) {
        return position(source.getString("file"), source.getInt64("pos"));
    }

    @Override
    public String idOfEvent(Struct source) {
        return source.getString("gtid");
    }

    /** `binlog.000012` and 345 become `0000000c000000000159`. */
    static String position(String file, long position) {
        long number = Long.parseLong(file.substring(file.lastIndexOf('.') + 1));
        return String.format("%08x%012x", number, position);
    }

    @Override
    public Map<String, Object> toResume(Map<String, ?> offset, String transaction) {
        Map<String, Object> resume = new TreeMap<>();
        boolean isInside = false;
        for (Map.Entry<String, ?> entry : offset.entrySet()) {
            String key = entry.getKey();
            if (key.equals("event") || key.equals("row")) {
                isInside = true;
            }
            else if (!key.startsWith("transaction_")) {
                resume.put(key, entry.getValue());
            }
        }
        Object done = resume.get("gtids");
        if (transaction != null && done != null) {
            resume.put("gtids", name.equals("mysql") ? addGtid(done.toString(), transaction) : replaceDomain(done.toString(), transaction));
            return resume;
        }
        if (!isInside) {
            return resume;
        }
        if (transaction == null) {
            return null;
        }
        // without GTIDs it begins at the transaction again and passes over the events that it counts here
        resume.put("event", offset.get("event"));
        if (offset.containsKey("row")) {
            resume.put("row", offset.get("row"));
        }
        return resume;
    }

    private static String addGtid(String set, String gtid) {
        GtidSet gtids = new GtidSet(set);
        gtids.add(gtid);
        return gtids.toString();
    }

    /** MariaDB's set has the last of each domain: `0-1-5,1-1-9`. */
    private static String replaceDomain(String set, String gtid) {
        String domain = gtid.substring(0, gtid.indexOf('-') + 1);
        List<String> kept = new ArrayList<>();
        for (String one : set.split(",")) {
            if (!one.isBlank() && !one.trim().startsWith(domain)) {
                kept.add(one.trim());
            }
        }
        kept.add(gtid);
        return String.join(",", kept);
    }
}
