"""Records an invocation of every function on a local stack, for `make bench`: recording.py FILE.

It sends each kind of work to a stack with a recorder (recorder.py), one after the other, and writes a JSON object:

    scenes       by name, the invocations of a function that `bench` replays in turn, in the form of recorder.py
    exchanges    by function, one of each exchange that it had in any invocation
    certificate  the certificate and the key of `bench`'s TLS server, in PEM

A scene that has the name of a function is its ordinary work. Each function that is deployed must have one.
"""

import collections
import json
import os
import pathlib
import shutil
import sys
import tempfile
import urllib.request

import batch
import certificate
import recorder
from checkout import ENVIRONMENT, ROOT, Failed
from deployment import FUNCTIONS

# The words of an answer of about 8,000 tokens. The scripted model sends four words in an event.
WORDS = 6_000
# The items of the batches. A bulk job has at least 100 records.
ITEMS, RECORDS = 20, 100
# Runs of a kind. Successive invocations are of different runs, as most are on AWS, so that no plan is found in a cache.
RUNS = 4
# The messages of an event of dispatch, and how often they are sent until one event has all of them.
MESSAGES, TRIES = 10, 10
# Added to the configuration of the environment: a workflow for long answers, and one whose items get executions.
WORKFLOWS = {
    "long": """
version: 1
name: long
inputs: { text: { type: string, required: true } }
steps:
  - { id: answer, model: haiku, thinking: off, max_tokens: 16000, prompt: "{{ inputs.text }}" }
""",
    "each": """
version: 1
name: each
inputs: { text: { type: string, required: true }, parts: { type: list, required: true } }
steps:
  - { id: part, for_each: inputs.parts, model: haiku, thinking: off, max_tokens: 400, prompt: "{{ item }}: {{ inputs.text }}" }
""",
}
SECRET = "It's a Secret to Everybody"


def main(path):
    stack = batch.Stack()
    push_config()
    recording = Recording()
    scenes = dict(recorded(stack, recording))
    missing = unrecorded(scenes)
    if missing:
        raise Failed(f"nothing was recorded of {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as folder:
        pems = [path.read_text() for path in certificate.for_loopback(pathlib.Path(folder))]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"scenes": scenes, "exchanges": recording.exchanges(), "certificate": pems}))


def unrecorded(scenes):
    """Returns the functions of the template of which a scene is missing or empty."""
    return [name for name in FUNCTIONS if not scenes.get(name)]


class Recording:
    """What the recorder of the stack has recorded so far."""

    def __init__(self):
        self.seen = collections.defaultdict(dict)

    def take(self):
        """Returns the invocations since the last call, by function."""
        by_function = collections.defaultdict(list)
        for invocation in json.loads(batch.fetched(os.environ["AWS_ENDPOINT_URL"] + recorder.PATH)):
            by_function[invocation["function"]].append(invocation)
            for exchange in invocation["exchanges"]:
                request = exchange["method"], exchange["path"], exchange["target"]
                self.seen[invocation["function"]].setdefault(request, exchange)
        return by_function

    def of(self, functions):
        """Yields the invocations of these functions since the last call, by the name of the function."""
        invocations = self.take()
        for name in functions:
            yield name, invocations.get(name, [])

    def exchanges(self):
        return {function: list(seen.values()) for function, seen in self.seen.items()}


def recorded(stack, recording):
    """Yields the name and the invocations of each scene."""
    one_by_one(stack, "explain", "A breaker opens.")
    yield from recording.of(["prepare", "failover-router", "invoke", "persist-artifact", "emit-metrics"])

    yield "dispatch", [whole_event(stack, recording)]

    stack.wait_for_runs([call_webhook(number) for number in range(RUNS)])
    yield from recording.of(["webhook"])

    for function in ["watch-budgets", "canary", "sweep"]:
        for _ in range(RUNS):
            invoke_by_schedule(function)
        yield from recording.of([function])

    one_by_one(stack, "long", "@model says: " + " ".join(["word"] * WORDS))
    yield "invoke, 8k tokens", recording.take()["invoke"]

    for number in range(2):
        stack.run(f"packed-{number}", ITEMS, 0, concurrency=10)
    yield from recording.of(["open-batch", "run-part", "collect-part", "close-batch"])
    stack.run("bulk", RECORDS, 0, mode="bulk")
    yield from recording.of(["render-part", "bulk-job", "take-part", "choose-leftovers"])
    # One at a time, because a function may not have two invocations at a time.
    stack.run("each", RUNS, 0, workflow="each", inputs={"parts": ["a", "b"]}, concurrency=1)
    yield from recording.of(["open-item"])

    # Last, because the breaker of the region may open.
    one_by_one(stack, "explain", "@model us-east-1: throttle\nA breaker opens.")
    failing = recording.take()["invoke"]
    models = [[e["status"] for e in i["exchanges"] if "/converse-stream" in e["path"]] for i in failing]
    if models != [[429, 200]] * RUNS:
        raise Failed(f"the calls of the model should have failed once each, but they were answered with {models}")
    yield "invoke, first region fails", failing


def whole_event(stack, recording):
    """Returns an invocation of dispatch with all messages that were sent together. The poller may divide them."""
    for _ in range(TRIES):
        stack.wait_for_runs(stack.send("explain", [f"Message {number}." for number in range(MESSAGES)]))
        for invocation in recording.take()["dispatch"]:
            if len(invocation["event"]["Records"]) == MESSAGES:
                return invocation
    raise Failed(f"no event of dispatch had {MESSAGES} messages")


def one_by_one(stack, workflow, text):
    for _ in range(RUNS):
        stack.wait_for_runs(stack.send(workflow, [text]))


def invoke_by_schedule(function):
    """Invokes a function as its schedule does."""
    event = (ROOT / "events" / function / "schedule.json").read_bytes()
    path = f"/2015-03-31/functions/{os.environ['BCCE_STACK']}-{function}/invocations"
    signed = {"authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request"}
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + path, event, signed)
    with urllib.request.urlopen(request) as answer:
        answer.read()


def call_webhook(number):
    """Sends GitHub's documented event as a new one. Returns the id of the request that it becomes."""
    sample = json.loads((ROOT / "events" / "webhook" / "github-issue-opened.json").read_text())
    headers = {name: value for name, value in sample["headers"].items() if name.startswith(("x-", "content-type"))}
    delivery = headers["x-github-delivery"] = f"{number:08}" + headers["x-github-delivery"][8:]
    request = urllib.request.Request(os.environ["WebhookUrl"] + sample["rawPath"].lstrip("/"), sample["body"].encode(), headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
        return json.loads(response.read())["requests"][0]["id"]


def push_config():
    """Pushes the configuration of the environment with the workflows of this module and the secret of the webhook."""
    ssm = batch.boto3.client("ssm")
    ssm.put_parameter(Name=f"/bcce/{ENVIRONMENT}/secrets/github", Value=SECRET, Type="SecureString")
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, ENVIRONMENT)
        shutil.copytree(ROOT / "infra" / "config" / ENVIRONMENT, config)
        for name, text in WORKFLOWS.items():
            (config / "workflows" / f"{name}.yaml").write_text(text.lstrip())
        batch.push(config)


if __name__ == "__main__":
    try:
        main(pathlib.Path(sys.argv[1]))
    except Failed as failure:
        sys.exit(f"error: {failure}")
