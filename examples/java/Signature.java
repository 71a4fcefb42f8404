import static java.nio.charset.StandardCharsets.UTF_8;

import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.Base64;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** The signature of Standard Webhooks 1.0. It knows nothing of the web server: a Spring project can take this file as it is. */
final class Signature {
    /** Seconds. Standard Webhooks allows 5 minutes between the sender's clock and ours. */
    private static final long TOLERANCE = 300;

    private final SecretKeySpec key;

    /** Takes the secret as the bundle has it. With an empty key anybody could sign, so without a secret nothing starts. */
    Signature(String secret) {
        byte[] bytes = {};
        if (secret != null && secret.startsWith("whsec_")) {
            bytes = Base64.getDecoder().decode(secret.substring("whsec_".length()));
        }
        if (bytes.length < 24) {
            throw new IllegalArgumentException(
                "FORWARD_SECRET must be whsec_ and base64 of 24 to 64 bytes, as the bundle has it");
        }
        key = new SecretKeySpec(bytes, "HmacSHA256");
    }

    /**
     * Returns whether the bundle has signed this in the last 5 minutes. Takes the three headers, null where one is missing, and
     * exactly the bytes that came: JSON that was decoded and encoded again has other ones.
     */
    boolean isRight(String id, String timestamp, String signatures, byte[] body) throws GeneralSecurityException {
        if (id == null || id.isEmpty() || timestamp == null || !timestamp.matches("[0-9]{1,12}") || signatures == null) {
            return false;
        }
        // The timestamp is that of this attempt: an old one is a request that somebody recorded and sends again.
        if (Math.abs(Instant.now().getEpochSecond() - Long.parseLong(timestamp)) > TOLERANCE) {
            return false;
        }
        Mac mac = Mac.getInstance("HmacSHA256"); // A new one each time, because threads cannot share it.
        mac.init(key);
        mac.update((id + "." + timestamp + ".").getBytes(UTF_8));
        byte[] expected = ("v1," + Base64.getEncoder().encodeToString(mac.doFinal(body))).getBytes(UTF_8);
        // While the secret is rotated the bundle signs with the new one and the old one: one of them is ours.
        for (String signature : signatures.split(" ")) {
            // In constant time: equals() would show by its speed how much is right.
            if (MessageDigest.isEqual(expected, signature.getBytes(UTF_8))) {
                return true;
            }
        }
        return false;
    }
}
