import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Just as much JSON as this example needs, because the JDK has none. In a Spring project, Jackson takes its place. */
final class Json {
    private static final Pattern NUMBER = Pattern.compile("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][-+]?[0-9]+)?");
    /** Levels. More than any callback has, and far fewer than fill the stack. */
    private static final int DEEPEST = 100;

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** Reads JSON. Returns a Map, List, String, Double, Boolean or null; throws IllegalArgumentException for anything else. */
    static Object read(String text) {
        Json json = new Json(text);
        try {
            Object value = json.value(0);
            json.expect("");
            if (json.at == text.length()) {
                return value;
            }
        } catch (IndexOutOfBoundsException end) {
            // The text ends in the middle of a string.
        }
        throw json.wrong();
    }

    /** Returns the member to which the names lead, or null where there is none. */
    static Object member(Object value, String... names) {
        for (String name : names) {
            value = value instanceof Map<?, ?> members ? members.get(name) : null;
        }
        return value;
    }

    /** Returns the text to which the names lead, or an empty one where there is none. */
    static String text(Object value, String... names) {
        return member(value, names) instanceof String text ? text : "";
    }

    /** Writes a text as JSON. */
    static String quote(String text) {
        StringBuilder json = new StringBuilder("\"");
        for (char letter : text.toCharArray()) {
            if (letter < ' ') {
                json.append("\\u%04x".formatted((int) letter));
            } else {
                json.append(letter == '"' || letter == '\\' ? "\\" : "").append(letter);
            }
        }
        return json.append('"').toString();
    }

    private Object value(int depth) {
        if (depth > DEEPEST) {
            throw wrong();
        }
        if (take("{")) {
            Map<String, Object> members = new HashMap<>();
            if (!take("}")) {
                do {
                    expect("\"");
                    String name = string();
                    expect(":");
                    members.put(name, value(depth + 1));
                } while (take(","));
                expect("}");
            }
            return members;
        }
        if (take("[")) {
            List<Object> items = new ArrayList<>();
            if (!take("]")) {
                do {
                    items.add(value(depth + 1));
                } while (take(","));
                expect("]");
            }
            return items;
        }
        if (take("\"")) {
            return string();
        }
        if (take("null")) {
            return null;
        }
        if (take("true")) {
            return true;
        }
        if (take("false")) {
            return false;
        }
        Matcher number = NUMBER.matcher(text).region(at, text.length());
        if (!number.lookingAt()) {
            throw wrong();
        }
        at = number.end();
        return Double.valueOf(number.group());
    }

    /** Reads on to the end of a string, whose first quote is taken. */
    private String string() {
        StringBuilder string = new StringBuilder();
        while (true) {
            char letter = text.charAt(at++);
            if (letter == '"') {
                return string.toString();
            }
            if (letter < ' ') {
                throw wrong();
            }
            string.append(letter == '\\' ? escaped(text.charAt(at++)) : letter);
        }
    }

    private char escaped(char letter) {
        if (letter == 'u') {
            at += 4;
            return (char) HexFormat.fromHexDigits(text, at - 4, at);
        }
        int known = "\"\\/bfnrt".indexOf(letter);
        if (known < 0) {
            throw wrong();
        }
        return "\"\\/\b\f\n\r\t".charAt(known);
    }

    /** Takes the token, if it comes next after white space. */
    private boolean take(String token) {
        while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        boolean comes = text.startsWith(token, at);
        at += comes ? token.length() : 0;
        return comes;
    }

    private void expect(String token) {
        if (!take(token)) {
            throw wrong();
        }
    }

    private IllegalArgumentException wrong() {
        return new IllegalArgumentException("not JSON at character " + at);
    }
}
