"""Sends a batch of the workflow `explain` to a local stack and follows it to its end."""

import json
import os
import time
import urllib.request

import boto3
from botocore.config import Config

import meter
import processes
import progress
from checkout import Failed

# The seconds between two looks at a batch. A look takes some ten milliseconds of CPU time.
LOOK = 0.5


class Stack:
    """The clients of the stack whose addresses `stack.py run` put into the environment."""

    def __init__(self):
        self.s3, self.sqs = boto3.client("s3"), boto3.client("sqs")
        # The meter does not count the requests of these clients.
        watching = Config(user_agent_appid=meter.APP_ID)
        self.seen, self.states = boto3.client("s3", config=watching), boto3.client("stepfunctions", config=watching)
        self.bucket, self.machine = os.environ["ArtifactBucket"], os.environ["BatchArn"]
        self.session = os.environ[processes.MARKER]

    def run(self, name, items, model_ms, item_bytes=0, script="", **options):
        """Runs a batch. Returns the seconds from its message to the end of its execution.

        Each item has a text of at least `item_bytes` bytes, with the line `script` for the scripted model. `options` are
        fields of the batch, such as `concurrency`. Every item must succeed.
        """
        key = f"batches/uploads/{name}.jsonl"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=source(items, model_ms, item_bytes, script).encode())
        message = {"workflow": "explain", "id": name, "batch": {"source": f"s3://{self.bucket}/{key}", **options}}
        started = time.monotonic()
        self.sqs.send_message(QueueUrl=os.environ["InboxQueueUrl"], MessageBody=json.dumps(message))
        execution = self.wait(name, lambda: self.execution_of(name))
        ended = self.wait(name, lambda: self.ended(execution))
        seconds = time.monotonic() - started
        self.check(name, items, ended)
        return seconds

    def wait(self, name, condition):
        found = progress.wait(condition, self.work, LOOK)
        if not found:
            raise Failed(f"the batch {name} makes no progress")
        return found

    def work(self):
        """Returns what changes as long as the batch makes progress: calls of the model and CPU time of functions."""
        kinds = processes.used(self.session)
        return calls_of_model(), {kind: kinds[kind] for kind in kinds if kind not in (processes.EMULATOR, processes.OURS)}

    def execution_of(self, name):
        for execution in self.states.list_executions(stateMachineArn=self.machine)["executions"]:
            described = self.states.describe_execution(executionArn=execution["executionArn"])
            if json.loads(described["input"]).get("request_id") == name:
                return execution["executionArn"]
        return None

    def ended(self, execution):
        described = self.states.describe_execution(executionArn=execution)
        return described if described["status"] != "RUNNING" else None

    def check(self, name, items, ended):
        if ended["status"] != "SUCCEEDED":
            raise Failed(f"the batch {name} ended with {ended.get('error')}: {ended.get('cause')}")
        key = json.loads(ended["output"])["manifest"]["key"]
        manifest = json.loads(self.seen.get_object(Bucket=self.bucket, Key=key)["Body"].read())
        problem = missing(items, manifest["counts"])
        if problem:
            raise Failed(f"the batch {name}: {problem}")


def source(items, model_ms, item_bytes=0, script=""):
    """Returns the lines of a batch whose items the scripted model answers after `model_ms` milliseconds."""
    slow = f"@model *: slow({model_ms})" if model_ms else "No script."
    script = f"{script}\n{slow}" if script else slow
    more = "\n" + "x" * item_bytes if item_bytes else ""
    return "".join(json.dumps({"text": f"{script}\nnumber {n}{more}"}) + "\n" for n in range(items))


def missing(items, counts):
    """Returns what is wrong with the counts of a manifest, or None if every item succeeded."""
    statuses = sum(counts[name] for name in ("succeeded", "failed", "cancelled", "rejected", "skipped", "running"))
    if counts["items"] != items or statuses != items or counts["succeeded"] != items:
        return f"{items} items were sent, the manifest counts {json.dumps(counts)}"
    return None


def calls_of_model():
    return int(fetched(f"{os.environ['SCRIPTED_MODEL_URL']}/__count"))


def counts():
    """Returns the counts of the meter in the emulator."""
    return json.loads(fetched(os.environ["AWS_ENDPOINT_URL"] + meter.PATH))


def fetched(url):
    # The address is always loopback, so no proxy is used.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=60) as answer:
        return answer.read()
