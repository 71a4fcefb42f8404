<?php
// Own code behind the callbacks of a WeChat Official Account, in plain PHP 8: receives each callback that the bundle forwards,
// checks its signature, keeps the openid under a customer number of our own, and answers.
//
// The web server shows this folder alone. send.php and the database are outside of it, so that nobody can download them.

declare(strict_types=1);

// A warning in the answer would make its JSON unreadable. Warnings go to the log; an exception is answered 500, and the bundle
// sends the callback again later.
ini_set('display_errors', '0');

const TOLERANCE = 300; // Seconds. Standard Webhooks allows 5 minutes between the sender's clock and ours.
const REMEMBERED = 40 * 86400; // Seconds. A callback can come again for 33 days: 30 as a dead one, then 3 of retries.

if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
    header('Allow: POST');
    answer(405);
}
// Exactly the bytes that were signed: JSON that was decoded and encoded again has other ones.
$body = file_get_contents('php://input');
if (!is_signed_by_the_bundle($body)) {
    answer(401);
}
$callback = json_decode($body, true, flags: JSON_THROW_ON_ERROR);

$db = new PDO('sqlite:' . (getenv('DATABASE') ?: __DIR__ . '/../customers.sqlite'), null, null, [
    PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
    PDO::ATTR_TIMEOUT => 2, // Seconds that a request waits while another one writes. The bundle waits 3.5 for the answer.
]);
// The work and the note that it is done are one transaction: after a crash there are both, or neither. IMMEDIATE, so that of
// two requests with the same callback the second waits for the first and finds its note.
$db->exec('BEGIN IMMEDIATE');
$db->exec('CREATE TABLE IF NOT EXISTS customers
    (number INTEGER PRIMARY KEY, openid TEXT NOT NULL UNIQUE, follows INTEGER, changed_at INTEGER NOT NULL DEFAULT 0)');
$db->exec('CREATE TABLE IF NOT EXISTS callbacks (id TEXT PRIMARY KEY, answer TEXT, received_at INTEGER NOT NULL)');
$db->exec('CREATE INDEX IF NOT EXISTS callbacks_by_age ON callbacks (received_at)');

// A callback comes at least once. A repeat has the same webhook-id, and gets the first one's answer.
$id = $_SERVER['HTTP_WEBHOOK_ID'];
$known = query($db, 'SELECT answer FROM callbacks WHERE id = ?', [$id])->fetch(PDO::FETCH_ASSOC);
if ($known === false) {
    $answer = handle($db, $callback);
    query($db, 'INSERT INTO callbacks VALUES (?, ?, ?)', [$id, $answer, time()]);
    query($db, 'DELETE FROM callbacks WHERE received_at < ?', [time() - REMEMBERED]);
} else {
    $answer = $known['answer'];
}
$db->exec('COMMIT');
$answer === null ? answer(204) : answer(200, $answer);

/** Does what one callback asks for. Returns the answer, or null to leave the reply to the bundle's rules. */
function handle(PDO $db, array $callback): ?string
{
    $openid = is_string($callback['from'] ?? null) ? $callback['from'] : '';
    $at = is_int($callback['created_at'] ?? null) ? $callback['created_at'] : 0;
    switch ($callback['type'] ?? '') {
        case 'event.subscribe':
            $number = customer($db, $openid);
            follows($db, $number, true, $at);
            $scene = $callback['event']['scene'] ?? '';
            if (is_string($scene) && str_starts_with($scene, 'bind.')) {
                return null; // The rules say whether this scan has bound a user of the bundle's.
            }
            return text("欢迎关注！您的客户编号是 {$number}。");
        case 'event.unsubscribe':
            follows($db, customer($db, $openid), false, $at);
            return null; // Nobody can be answered.
        case 'text':
            $number = customer($db, $openid);
            $content = $callback['message']['content'] ?? '';
            return match (is_string($content) ? trim($content) : '') {
                '编号' => text("您的客户编号是 {$number}。"),
                // Silence, not even a reply of the rules: a colleague answers, by send.php.
                '人工' => json_encode(['reply' => null]),
                default => null,
            };
        default: // Other types, and those that WeChat has yet to think of.
            return null;
    }
}

/** Returns our own number of the person: an openid is a name in one account, and changes when the account does. */
function customer(PDO $db, string $openid): int
{
    query($db, 'INSERT INTO customers (openid) VALUES (?) ON CONFLICT DO NOTHING', [$openid]);
    return (int) query($db, 'SELECT number FROM customers WHERE openid = ?', [$openid])->fetchColumn();
}

/** Keeps the newest state, since callbacks come in any order. Of two in the same second, leaving wins. */
function follows(PDO $db, int $number, bool $follows, int $at): void
{
    $older = $follows ? '<' : '<=';
    $state = [(int) $follows, $at, $number, $at];
    query($db, "UPDATE customers SET follows = ?, changed_at = ? WHERE number = ? AND changed_at {$older} ?", $state);
}

/** A text reply. The other types are those of the reply rules: image, voice, video, music, news, transfer_customer_service. */
function text(string $content): string
{
    return json_encode(['reply' => ['type' => 'text', 'content' => $content]], JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR);
}

/** Checks the signature of Standard Webhooks 1.0. */
function is_signed_by_the_bundle(string $body): bool
{
    $secret = (string) getenv('FORWARD_SECRET');
    $key = base64_decode(substr($secret, strlen('whsec_')), true);
    // With an empty key anybody could sign.
    if (!str_starts_with($secret, 'whsec_') || $key === false || strlen($key) < 24) {
        throw new RuntimeException('FORWARD_SECRET must be whsec_ and base64 of 24 to 64 bytes, as the bundle has it');
    }
    $id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
    $timestamp = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
    // The timestamp is that of this attempt: an old one is a request that somebody recorded and sends again.
    if ($id === '' || !ctype_digit($timestamp) || abs(time() - (int) $timestamp) > TOLERANCE) {
        return false;
    }
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', "{$id}.{$timestamp}.{$body}", $key, true));
    // While the secret is rotated the bundle signs with the new one and the old one: one of them is ours.
    foreach (explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $signature) {
        if (hash_equals($expected, $signature)) { // In constant time: === would show by its speed how much is right.
            return true;
        }
    }
    return false;
}

function query(PDO $db, string $sql, array $values): PDOStatement
{
    $statement = $db->prepare($sql);
    $statement->execute($values);
    return $statement;
}

function answer(int $status, string $json = ''): never
{
    http_response_code($status);
    if ($json !== '') {
        header('Content-Type: application/json; charset=utf-8');
    }
    exit($json);
}
