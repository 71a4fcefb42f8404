"""The tables of docs/growth.md and its Chinese twin: what growth costs, and how fast the bundle can send and answer.

    python3 docs/growth/model.py            prints them
    python3 docs/growth/model.py --write    writes them into both documents
    python3 docs/growth/model.py --check    fails when a document holds others

It needs only the standard library. Its results do not vary: the simulation's random generator is seeded.
"""

import dataclasses
import heapq
import pathlib
import random
import sys

DOCS = pathlib.Path(__file__).parents[1]
MILLION = 1_000_000

# US dollars: AWS list prices in us-east-1 without free tiers, as of 2026-11. Check them before you rely on them.
PRICES = {
    "lambda_gb_second": 0.0000133334,  # arm64
    "lambda_request": 0.20 / MILLION,
    "http_api_request": 1.00 / MILLION,
    "dynamodb_write_unit": 0.625 / MILLION,  # on demand
    "dynamodb_gb_month": 0.25 + 0.20,  # with point-in-time recovery
    "eventbridge_event": 1.00 / MILLION,
    "log_gb": 0.50,
    "trace": 5.00 / MILLION,
    "metric_month": 0.30,
    "secret_month": 0.40,
    "gb_out": 0.09,
}

# The deployment of template.yaml.
MEMORY_MB = 256
MB_OF_A_CPU = 1769  # Lambda gives one CPU at this size, and a proportional share below it
RECIPIENTS_A_REQUEST = 100
CONCURRENT_SENDS = 20  # functions/send-template/src/batch.rs
TRACED = 0.05  # X-Ray's default: the first request of each second, and 5 % of the others
METRICS = 40  # custom metrics, one for each combination of dimensions
MESSAGE_RECORD_BYTES = 400
MESSAGE_RECORD_DAYS = 30

# Assumptions about the network and the platform.
RUNTIME_MS = 1.0
STORE_MS = 5.0  # one write to DynamoDB
BUS_MS = 15.0  # PutEvents
PLATFORM_LOG_BYTES = 800  # Lambda's own lines for one invocation
ACCESS_LOG_BYTES = 300  # API Gateway's line for one request
OUT_BYTES = 1000  # of the answer or the request to WeChat, for one message
WECHAT_MS = (50, 300)  # one call, uniformly distributed

# A campaign, as `cargo bench -p benchmarks --bench campaign` measured it. The worker is billed while it runs, not for its CPU.
WORKER_MEMORY_MB = 512
WORKER_OVERLAP = 1.15  # the next run waits for up to 20 of 140 s, so that the hand-over takes no time
CAMPAIGN_UNITS = 2.11  # parts, ledgers, the message's record and its place in the index
CAMPAIGN_LOG_BYTES = 290
CAMPAIGN_RESERVE = 1000  # calls of the day's quota that are left to single sends: 1 %, at most this many


@dataclasses.dataclass(frozen=True)
class Invocation:
    """One invocation, as docs/growth/measure.py measured it: 2026-11-30, x86_64, 2 shared cores, release build."""

    cpu_ms: float
    log_bytes: int
    write_units: int = 0
    events: int = 0
    messages: int = 1
    waits_ms: float = 0.0

    def billed_ms(self):
        return RUNTIME_MS + self.cpu_ms * MB_OF_A_CPU / MEMORY_MB + self.waits_ms

    def costs(self):
        return {
            "Lambda": PRICES["lambda_request"] + self.billed_ms() / 1000 * MEMORY_MB / 1024 * PRICES["lambda_gb_second"],
            "API Gateway": PRICES["http_api_request"],
            "DynamoDB": self.write_units * PRICES["dynamodb_write_unit"],
            "EventBridge": self.events * PRICES["eventbridge_event"],
            "logs": (self.log_bytes + PLATFORM_LOG_BYTES + ACCESS_LOG_BYTES) / 1e9 * PRICES["log_gb"],
            "X-Ray": TRACED * PRICES["trace"],
            "data out": self.messages * OUT_BYTES / 1e9 * PRICES["gb_out"],
        }


REPLY = Invocation(cpu_ms=0.167, log_bytes=623)
PUBLISHED = Invocation(cpu_ms=0.977, log_bytes=623, write_units=2, events=1, waits_ms=2 * STORE_MS + BUS_MS)
RECEIPT = Invocation(cpu_ms=0.399, log_bytes=886, write_units=1, waits_ms=STORE_MS)
# A receipt is counted for its day too: by itself, but in a burst once a second of a process.
LONE_RECEIPT = dataclasses.replace(RECEIPT, write_units=2, waits_ms=2 * STORE_MS)
FORGED = Invocation(cpu_ms=0.127, log_bytes=632)
# At most one write a second of a process; here each call is counted by itself.
RELAYED = Invocation(cpu_ms=0.343, log_bytes=541, write_units=1, waits_ms=sum(WECHAT_MS) / 2)
SEND = Invocation(cpu_ms=0.685, log_bytes=1091, write_units=2, waits_ms=STORE_MS + sum(WECHAT_MS) / 2)


def batch(waits_ms):
    """A request to 100 recipients with an Idempotency-Key. It writes 100 records and their places in the index, the
    claim, and the answer of 10 KB."""
    return Invocation(cpu_ms=23.868, log_bytes=83_580, write_units=211, messages=100, waits_ms=waits_ms)


# ---- the simulated campaign


@dataclasses.dataclass(frozen=True)
class Limits:
    """WeChat's limits; None means no limit."""

    a_minute: int | None = None
    a_day: int | None = None


@dataclasses.dataclass
class Request:
    """A request in flight, to up to 100 recipients."""

    to_start: int
    began: float
    cpu_free: float
    in_flight: int = 0
    not_sent: int = 0
    retry_at: float = 0.0


class Campaign:
    """Simulates `callers` that each post one request of 100 recipients after the other.

    A request has up to 20 calls in flight. Each takes WeChat's latency, then CPU, which the calls of a request share.
    WeChat refuses calls beyond a limit (45011 a minute, 45009 a day). After a refusal the request starts no further call;
    its caller waits for the next minute or midnight and retries the recipients that were not sent to.
    """

    CPU = batch(0).cpu_ms / 100 * MB_OF_A_CPU / MEMORY_MB / 1000
    OVERHEAD = (RUNTIME_MS + 2 * STORE_MS) / 1000

    def __init__(self, messages, callers, limits=Limits(), seed=1):
        self.left, self.limits, self.chance = messages, limits, random.Random(seed)
        self.seconds = self.served_seconds = 0.0
        self.refused = self.served = 0
        self.used = {}
        self.queue, self.order = [], 0
        for _ in range(callers):
            self.post(0.0)
        while self.queue:
            now, _, request, retry_at = heapq.heappop(self.queue)
            if request is None:
                self.post(now)
            else:
                self.answer(request, now, retry_at)

    def at(self, time, request, retry_at=0.0):
        self.order += 1
        heapq.heappush(self.queue, (time, self.order, request, retry_at))

    def post(self, now):
        size = min(RECIPIENTS_A_REQUEST, self.left)
        if size:
            self.left -= size
            request = Request(to_start=size, began=now, cpu_free=now + self.OVERHEAD)
            for _ in range(min(CONCURRENT_SENDS, size)):
                self.call(request, now + self.OVERHEAD)

    def call(self, request, now):
        request.to_start -= 1
        request.in_flight += 1
        latency = self.chance.uniform(*WECHAT_MS) / 1000
        self.at(now + latency, request, self.refusal(now))

    def refusal(self, now):
        """The time of the next retry when a limit is reached, otherwise 0."""
        retry_at = 0.0
        for limit, length in ((self.limits.a_minute, 60), (self.limits.a_day, 86_400)):
            if limit is not None:
                window = (length, now // length)
                self.used[window] = self.used.get(window, 0) + 1
                if self.used[window] > limit:
                    retry_at = (now // length + 1) * length
        return retry_at

    def answer(self, request, now, retry_at):
        request.in_flight -= 1
        request.cpu_free = max(request.cpu_free, now) + self.CPU
        if retry_at:
            self.refused += 1
            request.not_sent += 1 + request.to_start
            request.to_start = 0
            request.retry_at = max(request.retry_at, retry_at)
        else:
            self.seconds = max(self.seconds, request.cpu_free)
        if request.to_start:
            self.call(request, request.cpu_free)
        elif not request.in_flight:
            self.served += 1
            self.served_seconds += request.cpu_free - request.began
            self.left += request.not_sent
            self.at(max(request.cpu_free, request.retry_at), None)


# ---- a campaign that the worker runs


def campaign_costs(messages, pace):
    """What a campaign costs without its receipts."""
    seconds = messages / pace * WORKER_OVERLAP
    return {
        "Lambda": seconds * WORKER_MEMORY_MB / 1024 * PRICES["lambda_gb_second"],
        "API Gateway": messages / 8000 * PRICES["http_api_request"],
        "DynamoDB": messages * CAMPAIGN_UNITS * PRICES["dynamodb_write_unit"],
        "EventBridge": 0.0,
        "logs": messages * CAMPAIGN_LOG_BYTES / 1e9 * PRICES["log_gb"],
        "X-Ray": 0.0,
        "data out": messages * OUT_BYTES / 1e9 * PRICES["gb_out"],
    }


def campaign_seconds(messages, pace, a_day):
    """From the first message, at midnight in Beijing, to the last one."""
    usable = a_day - min(a_day // 100, CAMPAIGN_RESERVE)
    days, rest = divmod(messages, usable)
    if not rest:
        days, rest = days - 1, usable
    return days * 86_400 + rest / pace


# ---- the tables


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def dollars(amount):
    return f"{amount:,.2f}"


def duration(seconds):
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86_400 else f"{seconds / 86_400:.1f} d"


def unit_costs(batch_of_100):
    names = list(REPLY.costs())
    subjects = [
        ("a callback that is answered", REPLY, 1),
        ("the same, published to a bus", PUBLISHED, 1),
        ("a delivery receipt, of a burst", RECEIPT, 1),
        ("a delivery receipt, alone", LONE_RECEIPT, 1),
        ("a forged callback", FORGED, 1),
        ("a message, sent alone", SEND, 1),
        ("a message, one of 100 of a request", batch_of_100, 100),
        ("a call through the relay", RELAYED, 1),
    ]
    rows = []
    for name, invocation, parts in subjects:
        costs = [cost * MILLION / parts for cost in invocation.costs().values()]
        rows.append([name, f"{invocation.billed_ms():.0f}", *map(dollars, costs), f"**{dollars(sum(costs))}**"])
    return table(["a million of", "billed ms an invocation", *names, "in all"], rows)


def price(invocation, times):
    return {name: cost * times for name, cost in invocation.costs().items()}


def scenarios(batch_of_100):
    followers, messages_each, sends_each = MILLION, 4, 4
    stored = followers * sends_each * MESSAGE_RECORD_BYTES * MESSAGE_RECORD_DAYS / 30 / 1e9 * PRICES["dynamodb_gb_month"]
    fixed = METRICS * PRICES["metric_month"] + 2 * PRICES["secret_month"]
    by_worker = campaign_costs(MILLION, 200)
    subjects = [
        ("an account of a million, a month", [(REPLY, followers * messages_each), (batch_of_100, followers * sends_each / 100), (RECEIPT, followers * sends_each)], stored + fixed),
        ("1,000 callbacks a second, an hour", [(REPLY, 3_600_000)], 0),
        ("the same, published to a bus", [(PUBLISHED, 3_600_000)], 0),
        ("a campaign of a million at 200 a second, with its receipts", [(RECEIPT, MILLION)], by_worker),
        ("a million sent by 100 a request, with their receipts", [(batch_of_100, MILLION / 100), (RECEIPT, MILLION)], 0),
        ("1,000 forged callbacks a second, a day", [(FORGED, 86_400_000)], 0),
    ]
    rows = []
    for name, parts, more in subjects:
        # A campaign's costs are of all kinds, an account's fixed ones of none.
        extra, total = (0, dict(more)) if isinstance(more, dict) else (more, dict.fromkeys(REPLY.costs(), 0.0))
        for invocation, times in parts:
            for kind, cost in price(invocation, times).items():
                total[kind] += cost
        rows.append([name, *map(dollars, total.values()), dollars(extra), f"**{dollars(sum(total.values()) + extra)}**"])
    return table(["US$", *REPLY.costs(), "fixed", "in all"], rows)


def campaigns():
    rows = []
    receipts = sum(RECEIPT.costs().values()) * MILLION
    for a_day in (100_000, 1_000_000, 10_000_000):
        for pace in (50, 200, 1_000):
            costs = campaign_costs(MILLION, pace)
            # A day that ends before its quota is used up goes on with the next day's.
            seconds = max(campaign_seconds(MILLION, pace, a_day), MILLION / pace)
            rows.append([
                f"{a_day:,}",
                f"{pace:,}",
                duration(seconds),
                f"{pace:,}",
                dollars(sum(costs.values())),
                dollars(receipts),
                f"**{dollars(sum(costs.values()) + receipts)}**",
            ])
    return table(["WeChat's quota a day", "pace, messages a second", "time for a million", "receipts a second", "the campaign, US$", "its receipts, US$", "in all"], rows)


def speeds(runs):
    rows = []
    for (messages, callers, limits), run in runs:
        rate = messages / run.seconds
        rows.append([
            f"{callers}",
            f"{limits.a_minute:,}" if limits.a_minute else "none",
            f"{limits.a_day:,}" if limits.a_day else "none",
            duration(run.seconds),
            f"{rate:,.0f}",
            duration(run.served_seconds / run.served),
            f"{run.refused / messages * 100:.2f} %",
        ])
    return table(["callers at once", "WeChat's limit a minute", "a day", "time for a million", "messages a second", "one request", "refused calls, of the messages"], rows)


def ceilings(batch_of_100, batch_seconds):
    def rate(count):
        return f"{count:,.0f}"

    def environments(seconds, requests=1):
        # Lambda also accepts at most ten requests a second for each environment of the quota.
        return rate(min(1000 / seconds, 10_000 / requests))

    # WeChat sends a receipt for every message.
    requests = 1 / 100 + 1
    seconds = batch_seconds / 100 + RECEIPT.billed_ms() / 1000
    units = batch_of_100.write_units / 100 + RECEIPT.write_units
    reply, published = REPLY.billed_ms() / 1000, PUBLISHED.billed_ms() / 1000
    rows = [
        ["API Gateway, requests a second (an account and region)", "10,000", rate(10_000), rate(10_000), rate(10_000 / requests)],
        ["Lambda, environments at once, ten requests a second each", "1,000", environments(reply), environments(published), environments(seconds, requests)],
        ["DynamoDB, write units a second of a new table", "4,000", "–", rate(4000 / PUBLISHED.write_units), rate(4000 / units)],
        ["DynamoDB, write units a second, a table's quota", "40,000", "–", rate(40_000 / PUBLISHED.write_units), rate(40_000 / units)],
        ["EventBridge, events a second (an account, us-east-1)", "10,000", "–", rate(10_000), "–"],
    ]
    return table(["limit", "value", "replies a second", "published callbacks", "messages with receipts"], rows)


def hot_items():
    """Items that every process reads. A partition serves 3,000 read units a second."""
    rows = []
    for name, kilobytes, seconds in (("`token#…`", 1, 0), ("`replies#…`, 10 rules", 2, 30), ("`replies#…`, 2,000 rules", 200, 30), ("`replies#…`, as large as an item may be", 400, 30)):
        units = -(-kilobytes // 4)
        a_second = 3000 / units
        processes = f"{a_second * seconds:,.0f}" if seconds else f"{a_second:,.0f} that start in one second"
        rows.append([name, f"{kilobytes} KB", f"{units}", f"every {seconds} s" if seconds else "at start, then every 2 h", processes])
    return table(["item", "size", "units a read", "read by a process", "processes that it can serve"], rows)


def tables():
    configurations = [(MILLION, callers, Limits()) for callers in (1, 8, 64)]
    configurations += [(MILLION, 8, Limits(a_minute=30_000)), (MILLION, 8, Limits(a_day=100_000))]
    runs = [(configuration, Campaign(*configuration)) for configuration in configurations]
    seconds = runs[0][1].served_seconds / runs[0][1].served
    cpu_ms = batch(0).cpu_ms * MB_OF_A_CPU / MEMORY_MB
    # The simulated time includes CPU, which `billed_ms` adds again.
    batch_of_100 = batch(waits_ms=seconds * 1000 - cpu_ms - RUNTIME_MS)
    return {
        "unit costs": unit_costs(batch_of_100),
        "scenarios": scenarios(batch_of_100),
        "campaigns": campaigns(),
        "speeds": speeds(runs),
        "ceilings": ceilings(batch_of_100, seconds),
        "hot items": hot_items(),
    }


# ---- the tables in Chinese

CHINESE = {
    "a million of": "每一百万次",
    "billed ms an invocation": "每次调用计费毫秒",
    "logs": "日志",
    "data out": "流出流量",
    "in all": "合计",
    "a callback that is answered": "应答一次回调",
    "the same, published to a bus": "同上，并发布到事件总线",
    "a delivery receipt, of a burst": "送达回执，集中到达时",
    "a delivery receipt, alone": "送达回执，单独到达时",
    "a forged callback": "伪造的回调",
    "a message, sent alone": "单独发送的消息",
    "a message, one of 100 of a request": "一次请求发给 100 人时的每条消息",
    "a call through the relay": "经由中继的调用",
    "US$": "美元",
    "fixed": "固定费用",
    "an account of a million, a month": "百万粉丝的账号，一个月",
    "1,000 callbacks a second, an hour": "每秒 1,000 次回调，一小时",
    "a campaign of a million at 200 a second, with its receipts": "每秒 200 条、共一百万条的群发任务，含回执",
    "a million sent by 100 a request, with their receipts": "每次请求 100 人、共一百万条，含回执",
    "1,000 forged callbacks a second, a day": "每秒 1,000 次伪造的回调，一天",
    "WeChat's quota a day": "微信每日额度",
    "pace, messages a second": "速度（条/秒）",
    "time for a million": "一百万条用时",
    "receipts a second": "回执（次/秒）",
    "the campaign, US$": "任务（美元）",
    "its receipts, US$": "回执（美元）",
    "callers at once": "同时调用方",
    "WeChat's limit a minute": "微信每分钟限制",
    "a day": "每日限制",
    "messages a second": "条/秒",
    "one request": "单次请求",
    "refused calls, of the messages": "被拒调用占消息数",
    "none": "无",
    "limit": "限制",
    "value": "数值",
    "replies a second": "回复（次/秒）",
    "published callbacks": "发布到总线的回调",
    "messages with receipts": "消息及其回执",
    "API Gateway, requests a second (an account and region)": "API Gateway 每秒请求数（每个账号与区域）",
    "Lambda, environments at once, ten requests a second each": "Lambda 同时运行的环境，每个每秒 10 次请求",
    "DynamoDB, write units a second of a new table": "DynamoDB 新表每秒写入单位",
    "DynamoDB, write units a second, a table's quota": "DynamoDB 每张表的每秒写入单位配额",
    "EventBridge, events a second (an account, us-east-1)": "EventBridge 每秒事件数（每个账号，us-east-1）",
    "item": "数据项",
    "size": "大小",
    "units a read": "每次读取单位",
    "read by a process": "每个进程何时读取",
    "processes that it can serve": "可支撑的进程数",
    "`replies#…`, 10 rules": "`replies#…`，10 条规则",
    "`replies#…`, 2,000 rules": "`replies#…`，2,000 条规则",
    "`replies#…`, as large as an item may be": "`replies#…`，达到数据项上限",
    "at start, then every 2 h": "启动时，之后每 2 小时",
    "every 30 s": "每 30 秒",
    "3,000 that start in one second": "同一秒内启动 3,000 个",
}
CHINESE_UNITS = {"d": "天", "h": "小时", "min": "分钟", "s": "秒", "KB": "KB"}
SAME_IN_CHINESE = {*REPLY.costs(), "`token#…`"} - CHINESE.keys()


def cell_in_chinese(cell):
    if cell in CHINESE:
        return CHINESE[cell]
    number, _, unit = cell.rpartition(" ")
    if unit in CHINESE_UNITS and not any(map(str.isalpha, number)):
        return f"{number} {CHINESE_UNITS[unit]}"
    if any(map(str.isalpha, cell)) and cell not in SAME_IN_CHINESE:
        sys.exit(f"docs/growth/model.py has no Chinese for {cell!r}")
    return cell


def in_chinese(text):
    head, _, *rows = ([cell_in_chinese(cell) for cell in line.strip("| ").split(" | ")] for line in text.split("\n"))
    return table(head, rows)


def filled(document, parts):
    for name, text in parts.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        head, rest = document.split(begin)
        document = head + begin + text + "\n" + end + rest.split(end)[1]
    return document


def main():
    parts = tables()
    documents = {"growth.md": parts, "growth.zh-CN.md": {name: in_chinese(text) for name, text in parts.items()}}
    if "--write" in sys.argv:
        for name, parts in documents.items():
            (DOCS / name).write_text(filled((DOCS / name).read_text(), parts))
    elif "--check" in sys.argv:
        for name, parts in documents.items():
            if filled((DOCS / name).read_text(), parts) != (DOCS / name).read_text():
                sys.exit(f"docs/{name} holds other tables: run python3 docs/growth/model.py --write")
    else:
        for name, text in parts.items():
            print(f"## {name}\n\n{text}\n")


if __name__ == "__main__":
    main()
