package millrace;

import io.debezium.DebeziumException;
import io.debezium.config.Configuration;
import io.debezium.connector.postgresql.PostgresConnectorConfig;
import io.debezium.connector.postgresql.PostgresConnectorTask;
import io.debezium.connector.postgresql.PostgresSchema;
import io.debezium.connector.postgresql.TypeRegistry;
import io.debezium.connector.postgresql.connection.Lsn;
import io.debezium.connector.postgresql.connection.MessageDecoder;
import io.debezium.connector.postgresql.connection.PostgresConnection;
import io.debezium.connector.postgresql.connection.PostgresReplicationConnection;
import io.debezium.connector.postgresql.connection.ReplicationConnection;
import io.debezium.connector.postgresql.connection.ReplicationStream.ReplicationMessageProcessor;
import io.debezium.connector.postgresql.connection.WalPositionLocator;
import io.debezium.pipeline.spi.OffsetContext;
import io.debezium.pipeline.txmetadata.DefaultTransactionMetadataFactory;
import io.debezium.pipeline.txmetadata.DefaultTransactionStructMaker;
import io.debezium.pipeline.txmetadata.TransactionStructMaker;
import java.lang.reflect.Field;
import java.nio.ByteBuffer;
import java.sql.SQLException;
import java.time.Instant;
import java.util.function.Function;
import org.apache.kafka.connect.data.Struct;
import org.postgresql.replication.fluent.logical.ChainedLogicalStreamBuilder;

/**
 * The Postgres connector, which also tells where a transaction commits when it begins. The server says so in its BEGIN
 * message, of which the connector keeps the id and the time only; without it the first rows of a transaction could not
 * be given their place in the log before its last one has come.
 *
 * @see "Postgres, Logical Replication Message Formats: Begin"
 */
public final class CommitLsnTask extends PostgresConnectorTask {

    /** Set and read by the thread that reads the log; there is one task in a process. */
    private static long commitLsn;

    @Override
    protected ReplicationConnection buildReplicationConnection(PostgresConnection connection, PostgresSchema schema,
                                                               PostgresConnectorConfig config)
            throws SQLException {
        ReplicationConnection replication = super.buildReplicationConnection(connection, schema, config);
        try {
            Field field = PostgresReplicationConnection.class.getDeclaredField("messageDecoder");
            field.setAccessible(true);
            field.set(replication, new Decoder((MessageDecoder) field.get(replication)));
        }
        catch (ReflectiveOperationException failure) {
            throw new DebeziumException("this version of the Postgres connector has no decoder to listen to", failure);
        }
        return replication;
    }

    private static final class Decoder implements MessageDecoder {

        private final MessageDecoder inner;

        Decoder(MessageDecoder inner) {
            this.inner = inner;
        }

        @Override
        public void processMessage(ByteBuffer buffer, ReplicationMessageProcessor processor, TypeRegistry types)
                throws SQLException, InterruptedException {
            if (buffer != null && buffer.get(buffer.position()) == 'B') {
                commitLsn = buffer.getLong(buffer.position() + 1);
            }
            inner.processMessage(buffer, processor, types);
        }

        @Override
        public ChainedLogicalStreamBuilder defaultOptions(ChainedLogicalStreamBuilder builder,
                                                          Function<Integer, Boolean> hasMinimumServerVersion) {
            return inner.defaultOptions(builder, hasMinimumServerVersion);
        }

        @Override
        public boolean shouldMessageBeSkipped(ByteBuffer buffer, Lsn received, Lsn start, WalPositionLocator position) {
            return inner.shouldMessageBeSkipped(buffer, received, start, position);
        }

        @Override
        public void close() {
            inner.close();
        }
    }

    /** Named by `transaction.metadata.factory`: a BEGIN record has the LSN where others have the number of events. */
    public static final class Factory extends DefaultTransactionMetadataFactory {

        private final Configuration configuration;

        public Factory(Configuration configuration) {
            super(configuration);
            this.configuration = configuration;
        }

        @Override
        public TransactionStructMaker getTransactionStructMaker() {
            return new StructMaker(configuration);
        }
    }

    private static final class StructMaker extends DefaultTransactionStructMaker {

        StructMaker(Configuration configuration) {
            super(configuration);
        }

        @Override
        public Struct buildBeginTransactionValue(OffsetContext offset, Instant timestamp) {
            return super.buildBeginTransactionValue(offset, timestamp).put("event_count", commitLsn);
        }
    }
}
