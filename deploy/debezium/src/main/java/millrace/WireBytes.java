package millrace;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * Bytes of protobuf's wire format, in a buffer that grows. The length of a message stands in front of what is written
 * after it: two bytes are left for it, which hold what nearly all messages have, in a form that is longer than it need
 * be and read by everyone; where they do not, the message is moved.
 *
 * @see "Protocol Buffers, Encoding"
 */
final class WireBytes {

    static final int VARINT = 0;
    static final int FIXED64 = 1;
    static final int LENGTH = 2;
    static final int FIXED32 = 5;

    private static final int LENGTH_BYTES_LEFT = 2;
    private static final int LENGTH_BYTES_MAX = 5;
    private static final int VARINT_BYTES_MAX = 10;

    private byte[] bytes;
    private int used;

    WireBytes(int capacity) {
        bytes = new byte[capacity];
    }

    byte[] array() {
        return bytes;
    }

    int length() {
        return used;
    }

    /** What was written behind this place is gone. */
    void cut(int length) {
        used = length;
    }

    /** A large buffer is given up: it was made for one row. */
    void clear(int length, int capacityKept) {
        used = length;
        if (bytes.length > capacityKept) {
            bytes = new byte[capacityKept];
        }
    }

    static int tag(int field, int wireType) {
        return field << 3 | wireType;
    }

    void putVarint(long value) {
        reserve(VARINT_BYTES_MAX);
        long rest = value;
        while ((rest & ~0x7fL) != 0) {
            bytes[used++] = (byte) (rest & 0x7f | 0x80);
            rest >>>= 7;
        }
        bytes[used++] = (byte) rest;
    }

    void putSigned(int value) {
        putVarint((value << 1 ^ value >> 31) & 0xffff_ffffL);
    }

    void putFixed32(int value) {
        reserve(4);
        for (int shift = 0; shift < 32; shift += 8) {
            bytes[used++] = (byte) (value >>> shift);
        }
    }

    void putFixed64(long value) {
        reserve(8);
        for (int shift = 0; shift < 64; shift += 8) {
            bytes[used++] = (byte) (value >>> shift);
        }
    }

    /** With its length in front. */
    void putText(String text) {
        byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
        putBytes(utf8, 0, utf8.length);
    }

    /** With its length in front. */
    void putBytes(byte[] some, int from, int length) {
        putVarint(length);
        put(some, from, length);
    }

    void put(byte[] some, int from, int length) {
        reserve(length);
        System.arraycopy(some, from, bytes, used, length);
        used += length;
    }

    /** @return what `end` is to be given */
    int begin(int tag) {
        putVarint(tag);
        reserve(LENGTH_BYTES_LEFT);
        used += LENGTH_BYTES_LEFT;
        return used;
    }

    void end(int start) {
        int length = used - start;
        int at = start - LENGTH_BYTES_LEFT;
        if (length < 1 << 7 * LENGTH_BYTES_LEFT) {
            bytes[at] = (byte) (length & 0x7f | 0x80);
            bytes[at + 1] = (byte) (length >>> 7);
            return;
        }
        reserve(LENGTH_BYTES_MAX);
        int more = lengthBytes(length) - LENGTH_BYTES_LEFT;
        System.arraycopy(bytes, start, bytes, start + more, length);
        used = at;
        putVarint(length);
        used += length;
    }

    static int lengthBytes(int length) {
        return (38 - Integer.numberOfLeadingZeros(length | 1)) / 7;
    }

    private void reserve(int more) {
        if (bytes.length - used < more) {
            bytes = Arrays.copyOf(bytes, Math.max(Math.addExact(used, more), bytes.length < Integer.MAX_VALUE / 2 ? bytes.length * 2 : 0));
        }
    }
}
