package millrace;

import java.io.IOException;
import java.util.Map;
import java.util.TreeMap;

/** A connector's offset as text, which the parent keeps and gives back without looking into it. */
final class Offsets {

    private Offsets() {
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> read(String text) throws IOException {
        return Main.JSON.readValue(text, TreeMap.class);
    }

    static String write(Map<String, ?> offset) throws IOException {
        return Main.JSON.writeValueAsString(new TreeMap<>(offset));
    }
}
