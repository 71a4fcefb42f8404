<?php
// Sends a customer a message later, through the bundle: what took too long for a reply, or what happened since.
//
//   php send.php text NUMBER TEXT KEY                    a customer-service message: free text, while the window is open
//   php send.php template NUMBER TEMPLATE_ID DATA KEY    a template message: at any time, to a follower; DATA is JSON
//
// KEY names what is sent, such as order-17-shipped: the same command again sends nothing twice.
// Ends with 0 when it is sent, 75 when the same command may be run again later, 1 when that would not help.

declare(strict_types=1);

[$kind, $number] = [$argv[1] ?? '', $argv[2] ?? ''];
$arguments = ['text' => 5, 'template' => 6];
if ($argc !== ($arguments[$kind] ?? 0)) {
    fwrite(STDERR, "php send.php text NUMBER TEXT KEY | template NUMBER TEMPLATE_ID DATA KEY\n");
    exit(1);
}

$db = new PDO('sqlite:' . (getenv('DATABASE') ?: __DIR__ . '/customers.sqlite'));
$customer = $db->prepare('SELECT openid FROM customers WHERE number = ?');
$customer->execute([$number]);
$openid = $customer->fetchColumn();
if ($openid === false) {
    fwrite(STDERR, "there is no customer {$number}\n");
    exit(1);
}

[$path, $message] = match ($kind) {
    'text' => ['sendCustomMessage', ['touser' => $openid, 'msgtype' => 'text', 'text' => ['content' => $argv[3]]]],
    'template' => ['sendTemplateMessage', [
        'touser' => $openid,
        'template_id' => $argv[3],
        'data' => json_decode($argv[4], true, flags: JSON_THROW_ON_ERROR),
    ]],
};
$context = stream_context_create(['http' => [
    'method' => 'POST',
    'header' => [
        'Authorization: Bearer ' . (getenv('WECHAT_BUNDLE_KEY') ?: 'local'),
        'Content-Type: application/json',
        'Idempotency-Key: ' . $argv[$argc - 1],
    ],
    'content' => json_encode($message, JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR),
    'timeout' => 30, // Seconds. The bundle answers within 25.
    'follow_location' => 0, // The key is for this host alone.
    'ignore_errors' => true, // A refusal says in its body what to do.
]]);
$url = (getenv('WECHAT_BUNDLE_URL') ?: 'http://127.0.0.1:8000') . "/api/{$path}";
$stream = @fopen($url, 'r', false, $context);
$status = $stream ? (int) explode(' ', stream_get_meta_data($stream)['wrapper_data'][0])[1] : 0;
$answer = $stream ? stream_get_contents($stream) : '';
if ($status === 200) {
    echo $answer, "\n";
    exit(0);
}

$problem = json_decode($answer, true) ?? [];
fwrite(STDERR, "{$status} " . ($problem['detail'] ?? 'no answer') . ' ' . ($problem['hint'] ?? '') . "\n");
// 45015 and 45047 among the refusals: the window is shut until the customer writes again. A template message needs no window.
// 504 with may_have_been_sent: WeChat may have taken it. A template message may be repeated within 9 minutes, with the same
// KEY; WeChat does not recognise the repeat of a customer-service message, and the bundle makes none.
$again = in_array($status, [0, 409, 429, 500, 502, 503, 504], true);
if ($kind === 'text' && ($problem['may_have_been_sent'] ?? false)) {
    $again = false;
}
exit($again ? 75 : 1);
