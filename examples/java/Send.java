import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Sends a customer a message later, through the bundle: what took too long for a reply, or what happened since. */
public final class Send {
    private static final String USAGE = """
        java Send text NUMBER TEXT KEY                    a customer-service message: free text, while the window is open
        java Send template NUMBER TEMPLATE_ID DATA KEY    a template message: at any time, to a follower; DATA is JSON

        KEY names what is sent, such as order-17-shipped: the same command again sends nothing twice.
        Ends with 0 when it is sent, 75 when the same command may be run again later, 1 when that would not help.""";
    private static final String BUNDLE = System.getenv().getOrDefault("WECHAT_BUNDLE_URL", "http://127.0.0.1:8000");
    private static final String API_KEY = System.getenv().getOrDefault("WECHAT_BUNDLE_KEY", "local");

    public static void main(String[] arguments) throws SQLException, InterruptedException {
        System.exit(run(arguments));
    }

    private static int run(String[] arguments) throws SQLException, InterruptedException {
        String kind = arguments.length == 0 ? "" : arguments[0];
        boolean isText = kind.equals("text") && arguments.length == 4;
        boolean isTemplate = kind.equals("template") && arguments.length == 5;
        if (!isText && !isTemplate) {
            System.err.println(USAGE);
            return 1;
        }
        // Where the locale is not UTF-8, as in a cron job, Java reads 您好 as unknown letters. Nobody should get those.
        if (String.join("", arguments).contains("\uFFFD")) {
            System.err.println("the arguments cannot be read: set LC_ALL=C.UTF-8");
            return 1;
        }
        String openid = openid(arguments[1]);
        if (openid == null) {
            System.err.println("there is no customer " + arguments[1]);
            return 1;
        }
        if (isTemplate) {
            Json.read(arguments[3]); // Throws when DATA is not JSON.
        }
        String path = isText ? "sendCustomMessage" : "sendTemplateMessage";
        String message = isText
            ? "\"msgtype\": \"text\", \"text\": {\"content\": " + Json.quote(arguments[2]) + "}"
            : "\"template_id\": " + Json.quote(arguments[2]) + ", \"data\": " + arguments[3];
        HttpRequest request = HttpRequest.newBuilder(URI.create(BUNDLE + "/api/" + path))
            .header("Authorization", "Bearer " + API_KEY)
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", arguments[arguments.length - 1])
            .POST(BodyPublishers.ofString("{\"touser\": " + Json.quote(openid) + ", " + message + "}"))
            .build();
        return send(request, isText);
    }

    private static String openid(String number) throws SQLException {
        try (Connection db = DriverManager.getConnection(Receiver.DATABASE);
                PreparedStatement select = Receiver.statement(db, "SELECT openid FROM customers WHERE number = ?", number);
                ResultSet customer = select.executeQuery()) {
            return customer.next() ? customer.getString("openid") : null;
        }
    }

    private static int send(HttpRequest request, boolean isText) throws InterruptedException {
        HttpClient client = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1) // Over plain http it would first ask for another protocol.
            .followRedirects(HttpClient.Redirect.NEVER) // The API key is for this host alone.
            .build();
        int status = 0;
        Object problem = null;
        try {
            // Seconds, for the whole answer. The bundle answers within 25.
            HttpResponse<String> answer = client.sendAsync(request, BodyHandlers.ofString()).get(30, TimeUnit.SECONDS);
            status = answer.statusCode();
            if (status == 200) {
                System.out.println(answer.body());
                return 0;
            }
            problem = Json.read(answer.body()); // A refusal says in its body what to do.
        } catch (ExecutionException | TimeoutException noAnswer) {
            System.err.println("no answer");
        } catch (IllegalArgumentException notJson) {
            // A proxy in front of the bundle answered.
        }
        System.err.println(status + " " + Json.text(problem, "detail") + " " + Json.text(problem, "hint"));
        // 45015 and 45047 among the refusals: the window is shut until the customer writes again. A template message needs no
        // window. 504 with may_have_been_sent: WeChat may have taken it. A template message may be repeated within 9 minutes,
        // with the same KEY; WeChat does not recognise the repeat of a customer-service message, and the bundle makes none.
        boolean again = Set.of(0, 409, 429, 500, 502, 503, 504).contains(status);
        if (isText && Boolean.TRUE.equals(Json.member(problem, "may_have_been_sent"))) {
            again = false;
        }
        return again ? 75 : 1;
    }
}
