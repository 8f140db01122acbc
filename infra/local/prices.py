"""What AWS charges for the requests of a batch, and what that makes for an item and for a million.

The prices are those of infra/config/platform_prices.yaml, and of the two kinds below that no manifest counts. Replace them by
your own. Tokens are not in the list: infra/config/dev/prices.yaml has their prices.
"""

from dataclasses import dataclass

import yaml

from checkout import ROOT

MILLION = 1_000_000
# The functions that wait for the model.
MODEL_CALLERS = ("invoke", "run-part")
# The events that S3 sends when an object of a versioned bucket expires: its delete marker, its version, the marker's end.
EVENTS_OF_EXPIRY = 3
# A message is sent, received and deleted.
REQUESTS_OF_MESSAGE = 3

S3_WRITES = {"PutObject", "CopyObject", "CompleteMultipartUpload", "ListObjectsV2"}
S3_WRITES |= {"CreateMultipartUpload", "UploadPart", "UploadPartCopy"}
S3_READS = {"GetObject", "HeadObject", "GetBucket", "HeadBucket"}
SIGNATURES = {"Sign", "Verify"}


@dataclass(frozen=True)
class Price:
    """A row of the table."""

    name: str
    usd_per_million: float


USD_PER_MILLION = yaml.safe_load((ROOT / "infra/config/platform_prices.yaml").read_text())["usd_per_million"]


def priced(name, kind, units=1):
    """Returns a row whose price is that of `units` of a kind in the file."""
    return Price(name, units * float(USD_PER_MILLION[kind]))


PRICES = [
    priced("S3: PUT, COPY, POST, LIST", "s3_writes"),
    priced("S3: GET, HEAD", "s3_reads"),
    priced("EventBridge: objects created", "object_events"),
    priced("EventBridge: objects expired", "object_events"),
    priced("KMS: S3's reads and writes", "kms_requests"),
    priced("KMS: other requests", "kms_requests"),
    priced("KMS: Sign, Verify (ECC)", "signatures"),
    priced("DynamoDB: write units", "write_units"),
    priced("DynamoDB: read units", "half_read_units", 2),
    priced("Step Functions: transitions", "transitions"),
    priced("Lambda: invocations", "function_calls"),
    priced("Lambda: GB-s, model callers", "gb_milliseconds", 1000),
    priced("Lambda: GB-s, the others", "gb_milliseconds", 1000),
    priced("SQS: requests", "sqs_requests"),
    priced("SNS: requests", "sns_messages"),
    # Standard parameters at standard throughput: https://aws.amazon.com/systems-manager/pricing/
    Price("SSM: parameters read", 0.00),
    # $0.50 per GB: https://aws.amazon.com/cloudwatch/pricing/
    Price("CloudWatch Logs: KB", 0.50),
]


def charged(counts):
    """Returns what AWS charges for, by the names of PRICES. `counts` are those of meter.py."""

    def of(service, names=None):
        requests = (key.partition(" ")[2] for key in counts if key.partition(" ")[0] == service)
        return sum(counts[f"{service} {name}"] for name in requests if names is None or name in names)

    functions = [key.split(" ")[1] for key in counts if key.endswith(" GB-seconds")]
    gb_seconds = {name: counts[f"lambda {name} GB-seconds"] for name in functions}
    callers = sum(seconds for name, seconds in gb_seconds.items() if name in MODEL_CALLERS)
    created = counts.get("s3 objects created", 0)
    return {
        "S3: PUT, COPY, POST, LIST": of("s3", S3_WRITES),
        "S3: GET, HEAD": of("s3", S3_READS),
        "EventBridge: objects created": created,
        "EventBridge: objects expired": EVENTS_OF_EXPIRY * created,
        "KMS: S3's reads and writes": counts.get("s3 kms requests", 0),
        "KMS: other requests": of("kms") - of("kms", SIGNATURES),
        "KMS: Sign, Verify (ECC)": of("kms", SIGNATURES),
        "DynamoDB: write units": counts.get("dynamodb write units", 0),
        "DynamoDB: read units": counts.get("dynamodb read units", 0),
        "Step Functions: transitions": counts.get("states transitions", 0),
        "Lambda: invocations": sum(counts[f"lambda {name} invocations"] for name in functions),
        "Lambda: GB-s, model callers": callers,
        "Lambda: GB-s, the others": sum(gb_seconds.values()) - callers,
        "SQS: requests": REQUESTS_OF_MESSAGE * of("sqs", {"SendMessage"}),
        "SNS: requests": of("sns", {"Publish"}),
        "SSM: parameters read": of("ssm"),
        "CloudWatch Logs: KB": counts.get("logs bytes", 0) / 1000,
    }


@dataclass(frozen=True)
class Line:
    """What two batches of different sizes say about one kind of charge: `per_batch` + `per_item` for each item."""

    price: Price
    per_item: float
    per_batch: float

    def quantity(self, items):
        return max(0.0, self.per_batch + self.per_item * items)

    def usd(self, items):
        return self.quantity(items) * self.price.usd_per_million / MILLION


def lines(small, large):
    """Returns a line for each price. `small` and `large` are pairs of a number of items and what was charged."""
    (fewer, less), (more, most) = small, large
    found = []
    for price in PRICES:
        per_item = (most[price.name] - less[price.name]) / (more - fewer)
        found.append(Line(price, per_item, less[price.name] - per_item * fewer))
    return found


def table(found):
    """Returns the rows of a table: what an item and a batch take, and what a million items in one batch cost."""
    yield f"{'':<30} | {'per item':>9} | {'per batch':>9} | {'$ per million':>13} | {'$, a million items':>18}"
    for line in found:
        price = line.price
        quantities = f"{line.per_item:>9.4f} | {line.per_batch:>9.1f}"
        yield f"{price.name:<30} | {quantities} | {price.usd_per_million:>13.3f} | {line.usd(MILLION):>18.2f}"
    total = sum(line.usd(MILLION) for line in found)
    yield f"{'all of it without tokens':<30} | {'':>9} | {'':>9} | {'':>13} | {total:>18.2f}"
