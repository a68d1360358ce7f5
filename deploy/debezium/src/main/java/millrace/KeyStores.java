package millrace;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.Collection;
import java.util.HexFormat;
import java.util.Map;
import java.util.stream.Stream;

/**
 * Authorities and a client's certificate as MySQL's and MariaDB's drivers want them: files that are Java key stores. They
 * are in a folder for this user alone, under a password that is in this process alone, and go with it.
 */
final class KeyStores {

    private static final String PREFIX = "millrace.tls.";
    private static final int PASSWORD_BYTES = 32;

    private static volatile Path folder;

    private KeyStores() {
    }

    /**
     * Puts files in the place of `millrace.tls.ca`, `.cert` (paths of PEM files) and `.key` (PKCS #8 in base64).
     */
    static void provide(Map<String, String> properties) throws IOException, GeneralSecurityException {
        String authorities = properties.remove(PREFIX + "ca");
        String certificate = properties.remove(PREFIX + "cert");
        String key = properties.remove(PREFIX + "key");
        if (authorities == null && certificate == null) {
            return;
        }
        byte[] random = new byte[PASSWORD_BYTES];
        new SecureRandom().nextBytes(random);
        String password = HexFormat.of().formatHex(random);
        folder = Files.createTempDirectory("millrace-tls-");
        if (authorities != null) {
            KeyStore store = create();
            int number = 0;
            for (Certificate one : read(authorities)) {
                store.setCertificateEntry("ca" + number++, one);
            }
            write(store, "truststore", password, properties);
        }
        if (certificate != null) {
            KeyStore store = create();
            Certificate[] chain = read(certificate).toArray(new Certificate[0]);
            PrivateKey own = KeyFactory.getInstance(chain[0].getPublicKey().getAlgorithm())
                    .generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(key)));
            store.setKeyEntry("client", own, password.toCharArray(), chain);
            write(store, "keystore", password, properties);
        }
    }

    private static KeyStore create() throws IOException, GeneralSecurityException {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        return store;
    }

    /** At least one. */
    private static Collection<? extends Certificate> read(String path) throws IOException, GeneralSecurityException {
        try (InputStream file = Files.newInputStream(Path.of(path))) {
            Collection<? extends Certificate> found = CertificateFactory.getInstance("X.509").generateCertificates(file);
            if (found.isEmpty()) {
                throw new GeneralSecurityException(path + " holds no certificate");
            }
            return found;
        }
    }

    private static void write(KeyStore store, String name, String password, Map<String, String> properties)
            throws IOException, GeneralSecurityException {
        Path path = folder.resolve(name + ".p12");
        try (OutputStream file = Files.newOutputStream(path)) {
            store.store(file, password.toCharArray());
        }
        properties.put("database.ssl." + name, path.toString());
        properties.put("database.ssl." + name + ".password", password);
    }

    static void remove() {
        Path made = folder;
        if (made == null) {
            return;
        }
        try (Stream<Path> files = Files.list(made)) {
            for (Path file : files.toList()) {
                Files.deleteIfExists(file);
            }
            Files.deleteIfExists(made);
        }
        catch (IOException | UncheckedIOException left) {
            System.err.println("[WARN] millrace.KeyStores - key stores were left in " + made + ": " + left.getMessage());
        }
    }
}
