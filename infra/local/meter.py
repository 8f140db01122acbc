"""Counts inside the emulator what AWS would charge for. `stack.py run --metered` sets BCCE_METER, which installs it.

`GET /_bcce/counts` returns the counts since the start as JSON, by these names:

    s3 PutObject                   requests, by service and operation, failed ones included
    s3 configuration reads         those GetObject requests that read the configuration, which functions keep in memory
    s3 objects created             objects, for each of which S3 sends an event to EventBridge
    s3 kms requests                requests to KMS for reads and writes of objects; see `kms_requests`
    dynamodb write units           on-demand units: those of indexes included, twice as many in a transaction
    dynamodb read units
    states transitions             states that an execution entered, and the attempts of a Task after the first
    lambda open-item invocations   invocations, by function
    lambda open-item seconds       their time on this machine, the start of a new process included
    lambda open-item GB-seconds    the same, times the memory of the template
    logs bytes                     what the functions print, and the lines that Lambda adds

A client whose user agent has the application id APP_ID is not counted: it watches. What Step Functions reads from S3
and publishes itself is counted.
"""

import collections
import functools
import json
import math
import re
import threading
import time

from checkout import STACK

APP_ID = "bcce-watches"
PATH = "/_bcce/counts"
WRITES = {"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}
# The path of a document of the configuration: the bucket, then the key.
CONFIGURATION = re.compile(r"/[^/]+/config/")
# The bytes of a read unit.
READ_UNIT = 4096


class Meter:
    def __init__(self):
        self.counts, self.lock = collections.Counter(), threading.Lock()

    def add(self, name, amount=1):
        with self.lock:
            self.counts[name] += amount

    def read(self):
        with self.lock:
            return dict(self.counts)

    def counted(self, service, handle):
        """Wraps `handle`, the handler of a service. Counts its requests."""

        @functools.wraps(handle)
        async def counted(method, path, headers, body, query):
            if f"app/{APP_ID}" in headers.get("user-agent", ""):
                return await handle(method, path, headers, body, query)
            if service == "s3":
                answer = await handle(method, path, headers, body, query)
                self.count_s3(s3_operation(method, path, headers, query), answer[0])
                if method == "GET" and CONFIGURATION.match(path):
                    self.add("s3 configuration reads")
                return answer
            name = operation(method, headers, body, query)
            if (service, name) != ("sns", "Publish"):
                self.add(f"{service} {name}")
            if service != "dynamodb":
                return await handle(method, path, headers, body, query)
            request = json.loads(body)
            if name in WRITES:
                body = json.dumps(request | {"ReturnConsumedCapacity": "TOTAL"}).encode()
            answer = await handle(method, path, headers, body, query)
            written, read = units_of(name, request, answer[0], json.loads(answer[2]))
            self.add("dynamodb write units", written)
            self.add("dynamodb read units", read)
            return answer

        return counted

    def count_s3(self, name, status):
        self.add(f"s3 {name}")
        self.add("s3 kms requests", kms_requests(name, status))
        if status == 200 and name in ("PutObject", "CopyObject", "CompleteMultipartUpload"):
            self.add("s3 objects created")

    def entered(self, execute):
        """Wraps `execute`, which executes a state. Counts the transition."""

        @functools.wraps(execute)
        def counted(*args, **kwargs):
            self.add("states transitions")
            return execute(*args, **kwargs)

        return counted

    def attempted(self, add_event):
        """Wraps `add_event`, which records an event of a history. Counts the transitions that no executor counts."""

        @functools.wraps(add_event)
        def counted(execution, event, details=None):
            # A Task is counted when it is scheduled, because each further attempt is charged as well.
            if event in ("TaskScheduled", "SucceedStateEntered", "FailStateEntered"):
                self.add("states transitions")
            return add_event(execution, event, details)

        return counted

    def iterated(self, run):
        """Wraps `run`, which runs an iteration of a Map. Counts its Succeed or Fail state, which records no event."""

        @functools.wraps(run)
        def counted(states, start, given, execution, context):
            try:
                return run(states, start, given, execution, context)
            finally:
                last = states.get((context.get("State") or {}).get("Name"), {})
                if last.get("Type") in ("Succeed", "Fail"):
                    self.add("states transitions")

        return counted

    def invoked(self, execute):
        """Wraps `execute`, which executes an invocation of a function."""

        @functools.wraps(execute)
        def counted(function, config, *args):
            started = time.monotonic()
            try:
                return execute(function, config, *args)
            finally:
                seconds, name = time.monotonic() - started, function_name(config["FunctionName"])
                self.add(f"lambda {name} invocations")
                self.add(f"lambda {name} seconds", seconds)
                self.add(f"lambda {name} GB-seconds", seconds * int(config["MemorySize"]) / 1024)

        return counted

    def logged(self, append):
        """Wraps `append`, which adds events to a log stream."""

        @functools.wraps(append)
        def counted(stream, events):
            self.add("logs bytes", sum(len(event["message"].encode()) for event in events))
            return append(stream, events)

        return counted

    def published(self, publish):
        """Wraps `publish`, which publishes a message for clients and for Step Functions."""

        @functools.wraps(publish)
        def counted(*args):
            self.add("sns Publish")
            return publish(*args)

        return counted

    def read_by_map(self, read_text):
        """Wraps `read_text`, with which the reader of a Map reads an object."""

        @functools.wraps(read_text)
        def counted(*args):
            self.count_s3("GetObject", 200)
            return read_text(*args)

        return counted

    def listed_by_map(self, read_items):
        """Wraps `read_items`, the reader of a Map. Counts a page of its listing, which has up to 1,000 objects."""

        @functools.wraps(read_items)
        def counted(reader, *args):
            items = read_items(reader, *args)
            if reader.get("Resource", "").endswith("s3:listObjectsV2"):
                self.add("s3 ListObjectsV2")
            return items

        return counted

    def served(self, app):
        """Wraps `app`, an ASGI application. Answers requests for the counts."""

        @functools.wraps(app)
        async def served(scope, receive, send):
            if scope["type"] != "http" or scope["path"] != PATH:
                return await app(scope, receive, send)
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": json.dumps(self.read()).encode()})

        return served

    def install(self, app):
        """Puts the meter into the emulator, whose module is `app`."""
        from ministack.services import cloudwatch_logs, lambda_svc, sns, stepfunctions

        for service, handle in app.SERVICE_HANDLERS.items():
            app.SERVICE_HANDLERS[service] = self.counted(service, handle)
        for state in ("pass", "choice", "wait", "parallel", "map"):
            replace(stepfunctions, f"_execute_{state}", self.entered)
        replace(stepfunctions, "_add_event", self.attempted)
        replace(stepfunctions, "_run_sub_machine", self.iterated)
        replace(stepfunctions, "_s3_object_text", self.read_by_map)
        replace(stepfunctions, "_read_map_items", self.listed_by_map)
        replace(lambda_svc, "_execute_function_dispatch", self.invoked)
        replace(cloudwatch_logs, "_append_log_events", self.logged)
        replace(sns, "_publish", self.published)
        app.app = self.served(app.app)


def replace(module, name, wrap):
    setattr(module, name, wrap(getattr(module, name)))


def operation(method, headers, body, query):
    """Returns the name of an operation, or the method of a REST call, whose price does not depend on it here."""
    target = headers.get("x-amz-target", "")
    text = body.decode(errors="replace") if isinstance(body, bytes) else body or ""
    action = query.get("Action") or re.findall(r"(?:^|&)Action=(\w+)", text)
    return target.rpartition(".")[2] or (action[0] if action else method)


def s3_operation(method, path, headers, query):
    is_object = len([part for part in path.split("/", 2)[1:] if part]) == 2
    part, copies = "partNumber" in query, "x-amz-copy-source" in headers
    match method:
        case "PUT" if is_object and part:
            return "UploadPartCopy" if copies else "UploadPart"
        case "PUT" if is_object:
            return "CopyObject" if copies else "PutObject"
        case "POST" if is_object:
            return "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload"
        case "POST":
            return "DeleteObjects"
        case "GET" if not is_object:
            return "ListObjectsV2"
        case "GET" | "HEAD" | "DELETE" if is_object:
            return f"{method.title()}Object"
    return f"{method.title()}Bucket"


def kms_requests(name, status):
    """Returns the number of requests that S3 sends to KMS, for an object under a customer key without a bucket key.

    A refused write counts, because AWS does not document that S3 asks for the data key after it checks the condition.
    """
    if name in ("CopyObject", "UploadPartCopy"):
        return 2
    if name in ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"):
        return 1
    return int(name == "GetObject" and status in (200, 206))


def units_of(name, request, status, answer):
    """Returns the write units and the read units of a request to DynamoDB."""
    if name in WRITES:
        return written_units(name, request, status, answer), 0
    if status != 200:
        return 0, 0
    if name in ("Query", "Scan"):
        read = max(1, math.ceil(sum(size(item) for item in answer.get("Items", [])) / READ_UNIT))
        return 0, read if request.get("ConsistentRead") else read / 2
    if name == "GetItem":
        read = read_units(answer.get("Item"))
        return 0, read if request.get("ConsistentRead") else read / 2
    if name == "TransactGetItems":
        return 0, sum(2 * read_units(found.get("Item")) for found in answer["Responses"])
    if name == "BatchGetItem":
        tables = request["RequestItems"].items()
        return 0, sum(batch_read_units(table, answer["Responses"].get(name, [])) for name, table in tables)
    return 0, 0


def batch_read_units(table, items):
    read = sum(read_units(item) for item in items) + len(table["Keys"]) - len(items)
    return read if table.get("ConsistentRead") else read / 2


def written_units(name, request, status, answer):
    if status == 200:
        consumed = answer.get("ConsumedCapacity", [])
        return sum(one["CapacityUnits"] for one in (consumed if isinstance(consumed, list) else [consumed]))
    # A write whose condition fails is charged by the size of the item, which is not known here.
    kind = answer.get("__type", "").rpartition("#")[2]
    if kind == "ConditionalCheckFailedException":
        return 1
    return 2 * len(request["TransactItems"]) if kind == "TransactionCanceledException" else 0


def read_units(item):
    """Returns the units of a consistent reading. A reading that finds nothing is charged, too."""
    return max(1, math.ceil(size(item) / READ_UNIT))


def size(item):
    from ministack.services import dynamodb

    return dynamodb._item_size_bytes(item or {})


def function_name(deployed):
    """Returns `open-item` for `bcce-dev-open-item`."""
    return deployed.removeprefix(f"{STACK}-")
