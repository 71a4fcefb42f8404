import static java.nio.charset.StandardCharsets.UTF_8;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.security.GeneralSecurityException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Executors;

/**
 * Own code behind the callbacks of a WeChat Official Account, in plain Java: receives each callback that the bundle forwards,
 * checks its signature, keeps the openid under a customer number of our own, and answers.
 */
public final class Receiver {
    static final String DATABASE = "jdbc:sqlite:" + System.getenv().getOrDefault("DATABASE", "customers.sqlite");
    private static final List<String> TABLES = List.of(
        """
        CREATE TABLE IF NOT EXISTS customers
        (number INTEGER PRIMARY KEY, openid TEXT NOT NULL UNIQUE, follows INTEGER, changed_at INTEGER NOT NULL DEFAULT 0)""",
        "CREATE TABLE IF NOT EXISTS callbacks (id TEXT PRIMARY KEY, answer TEXT, received_at INTEGER NOT NULL)",
        "CREATE INDEX IF NOT EXISTS callbacks_by_age ON callbacks (received_at)");
    /** Bytes. Callbacks have a few KiB, and whoever is not the bundle should not fill our memory. */
    private static final int LONGEST_BODY = 1024 * 1024;
    /** Seconds. A callback can come again for 33 days: 30 as a dead one, then 3 of retries. */
    private static final long REMEMBERED = 40 * 86400;

    private final Signature signature = new Signature(System.getenv("FORWARD_SECRET"));

    public static void main(String[] arguments) throws IOException {
        Receiver receiver = new Receiver();
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), 0);
        server.createContext("/", receiver::respond);
        server.setExecutor(Executors.newFixedThreadPool(16)); // By itself it answers one request after the other.
        server.start();
    }

    private void respond(HttpExchange exchange) throws IOException {
        try {
            receive(exchange);
        } catch (Exception failure) {
            failure.printStackTrace();
            answer(exchange, 500, null); // Anything but 2xx: the bundle sends the callback again later.
        }
    }

    private void receive(HttpExchange exchange) throws IOException, GeneralSecurityException, SQLException {
        if (!exchange.getRequestMethod().equals("POST")) {
            exchange.getResponseHeaders().set("Allow", "POST");
            answer(exchange, 405, null);
            return;
        }
        byte[] body = exchange.getRequestBody().readNBytes(LONGEST_BODY + 1);
        if (body.length > LONGEST_BODY) {
            answer(exchange, 413, null);
            return;
        }
        Headers headers = exchange.getRequestHeaders();
        String id = headers.getFirst("webhook-id");
        String timestamp = headers.getFirst("webhook-timestamp");
        if (!signature.isRight(id, timestamp, headers.getFirst("webhook-signature"), body)) {
            answer(exchange, 401, null);
            return;
        }
        String answer = once(id, Json.read(new String(body, UTF_8)));
        answer(exchange, answer == null ? 204 : 200, answer);
    }

    /** Handles a callback, unless it did before. A callback comes at least once; a repeat gets the first one's answer. */
    private static String once(String id, Object callback) throws SQLException {
        Properties options = new Properties();
        // Milliseconds that a request waits while another one writes. The bundle waits 3.5 seconds for the answer.
        options.setProperty("busy_timeout", "2000");
        // Of two requests with the same callback the second waits for the first and finds its note.
        options.setProperty("transaction_mode", "IMMEDIATE");
        try (Connection db = DriverManager.getConnection(DATABASE, options)) {
            // The work and the note that it is done are one transaction: after a crash there are both, or neither.
            db.setAutoCommit(false);
            for (String table : TABLES) {
                update(db, table);
            }
            try (PreparedStatement select = statement(db, "SELECT answer FROM callbacks WHERE id = ?", id);
                    ResultSet known = select.executeQuery()) {
                if (known.next()) {
                    return known.getString("answer");
                }
            }
            String answer = handle(db, callback);
            long now = Instant.now().getEpochSecond();
            update(db, "INSERT INTO callbacks VALUES (?, ?, ?)", id, answer, now);
            update(db, "DELETE FROM callbacks WHERE received_at < ?", now - REMEMBERED);
            db.commit();
            return answer;
        }
    }

    /** Does what one callback asks for. Returns the answer, or null to leave the reply to the bundle's rules. */
    private static String handle(Connection db, Object callback) throws SQLException {
        String openid = Json.text(callback, "from");
        long at = Json.member(callback, "created_at") instanceof Double seconds ? seconds.longValue() : 0;
        return switch (Json.text(callback, "type")) {
            case "event.subscribe" -> {
                long number = customer(db, openid);
                follows(db, number, true, at);
                if (Json.text(callback, "event", "scene").startsWith("bind.")) {
                    yield null; // The rules say whether this scan has bound a user of the bundle's.
                }
                yield text("欢迎关注！您的客户编号是 " + number + "。");
            }
            case "event.unsubscribe" -> {
                follows(db, customer(db, openid), false, at);
                yield null; // Nobody can be answered.
            }
            case "text" -> {
                long number = customer(db, openid);
                yield switch (Json.text(callback, "message", "content").strip()) {
                    case "编号" -> text("您的客户编号是 " + number + "。");
                    // Silence, not even a reply of the rules: a colleague answers, by Send.
                    case "人工" -> "{\"reply\": null}";
                    default -> null;
                };
            }
            default -> null; // Other types, and those that WeChat has yet to think of.
        };
    }

    /** Returns our own number of the person: an openid is a name in one account, and changes when the account does. */
    private static long customer(Connection db, String openid) throws SQLException {
        update(db, "INSERT INTO customers (openid) VALUES (?) ON CONFLICT DO NOTHING", openid);
        try (PreparedStatement select = statement(db, "SELECT number FROM customers WHERE openid = ?", openid);
                ResultSet customer = select.executeQuery()) {
            customer.next();
            return customer.getLong("number");
        }
    }

    /** Keeps the newest state, since callbacks come in any order. Of two in the same second, leaving wins. */
    private static void follows(Connection db, long number, boolean follows, long at) throws SQLException {
        String older = follows ? "<" : "<=";
        update(db, "UPDATE customers SET follows = ?, changed_at = ? WHERE number = ? AND changed_at " + older + " ?",
            follows, at, number, at);
    }

    /**
     * Writes a text reply. The other types are those of the reply rules: image, voice, video, music, news,
     * transfer_customer_service.
     */
    private static String text(String content) {
        return "{\"reply\": {\"type\": \"text\", \"content\": " + Json.quote(content) + "}}";
    }

    private static void update(Connection db, String sql, Object... values) throws SQLException {
        try (PreparedStatement statement = statement(db, sql, values)) {
            statement.executeUpdate();
        }
    }

    static PreparedStatement statement(Connection db, String sql, Object... values) throws SQLException {
        PreparedStatement statement = db.prepareStatement(sql);
        for (int i = 0; i < values.length; i++) {
            statement.setObject(i + 1, values[i]);
        }
        return statement;
    }

    private static void answer(HttpExchange exchange, int status, String json) throws IOException {
        try (exchange) {
            if (json == null) {
                exchange.sendResponseHeaders(status, -1); // No body.
            } else {
                byte[] body = json.getBytes(UTF_8);
                exchange.getResponseHeaders().set("Content-Type", "application/json; charset=utf-8");
                exchange.sendResponseHeaders(status, body.length);
                exchange.getResponseBody().write(body);
            }
        }
    }
}
