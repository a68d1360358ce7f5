package millrace;

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.logging.Level;
import java.util.logging.Logger;

/**
 * One connector in one process, driven over stdin and stdout; README.md has the lines. The first line of stdin is the
 * settings; they hold passwords, so they come neither as arguments nor as environment.
 */
public final class Main {

    static final ObjectMapper JSON = new ObjectMapper().enable(DeserializationFeature.USE_LONG_FOR_INTS);
    /** From the end of stdin or `stop` until this process ends, whatever it hangs on. */
    private static final long STOP_MS_MAX = 10_000;
    private static final int EXIT_FAILED = 1;

    private Main() {
    }

    public static void main(String[] args) throws Exception {
        // whatever a library prints must not come between the lines
        FileOutputStream stdout = new FileOutputStream(FileDescriptor.out);
        System.setOut(System.err);
        // the reader of binlogs tells of each connection by the JDK's own logging
        Logger.getLogger("").setLevel(Level.WARNING);
        BufferedReader stdin = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        String first = stdin.readLine();
        if (first == null) {
            return;
        }
        JsonNode settings = JSON.readTree(first);
        Lines lines = new Lines(stdout, settings.path("lineBytesMax").asInt(), settings.path("discard").asBoolean(false),
                settings.path("format").asText().equals("batches"));
        Runner runner = new Runner(lines, readProperties(settings), settings.path("offset").textValue(),
                readHistory(settings));
        Thread reader = new Thread(() -> followOrders(stdin, runner), "orders");
        reader.setDaemon(true);
        reader.start();
        int exitCode = 0;
        try {
            try {
                runner.run();
            }
            finally {
                // before the last word, behind which the parent ends this process
                KeyStores.remove();
            }
            lines.writeStopped();
        }
        catch (Throwable failure) {
            exitCode = EXIT_FAILED;
            lines.writeError(failure);
        }
        // connectors leave threads behind
        Runtime.getRuntime().halt(exitCode);
    }

    private static Map<String, String> readProperties(JsonNode settings) {
        Map<String, String> properties = new TreeMap<>();
        settings.path("properties").fields().forEachRemaining(e -> properties.put(e.getKey(), e.getValue().asText()));
        return properties;
    }

    private static List<String> readHistory(JsonNode settings) {
        List<String> history = new ArrayList<>();
        settings.path("history").forEach(record -> history.add(record.textValue()));
        return history;
    }

    /** `stop`, and the end of stdin, which is the parent's end. */
    private static void followOrders(BufferedReader stdin, Runner runner) {
        try {
            for (String line = stdin.readLine(); line != null; line = stdin.readLine()) {
                JsonNode order = JSON.readTree(line);
                switch (order.path("t").asText()) {
                    case "ack" -> runner.acknowledge(order.path("o").textValue());
                    case "stop" -> endInTime(runner);
                    default -> throw new IOException("unknown order");
                }
            }
        }
        catch (IOException broken) {
            System.err.println("[ERROR] millrace.Main - an order cannot be read: " + broken.getMessage());
        }
        endInTime(runner);
    }

    private static void endInTime(Runner runner) {
        runner.stop();
        Thread watch = new Thread(() -> {
            try {
                Thread.sleep(STOP_MS_MAX);
            }
            catch (InterruptedException ignored) {
                return;
            }
            KeyStores.remove();
            Runtime.getRuntime().halt(EXIT_FAILED);
        }, "end");
        watch.setDaemon(true);
        watch.start();
    }
}
