"""Sends batches and runs to a local stack and follows them to their end."""

import json
import os
import subprocess
import time
import urllib.request

import boto3
from botocore.config import Config

import meter
import processes
import progress
from checkout import BUILT, ENVIRONMENT, Failed

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
        self.run_machine, self.sent = os.environ["WorkflowArn"], 0
        self.session = os.environ[processes.MARKER]

    def run(self, name, items, model_ms, item_bytes=0, script="", workflow="explain", inputs=None, **options):
        """Runs a batch. Returns the seconds from its message to the end of its execution.

        Each item has a text of at least `item_bytes` bytes, with the line `script` for the scripted model. `inputs`
        apply to all items, and `options` are fields of the batch, such as `concurrency`. Every item must succeed.
        """
        key = f"batches/uploads/{name}.jsonl"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=source(items, model_ms, item_bytes, script).encode())
        request = {"workflow": workflow, "id": name, "inputs": inputs or {}}
        message = request | {"batch": {"source": f"s3://{self.bucket}/{key}", **options}}
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
            raise Failed(f"{name} makes no progress")
        return found

    def work(self):
        """Returns what changes as long as the batch makes progress: calls of the model and CPU time of functions."""
        kinds = processes.used(self.session)
        return calls_of_model(), {kind: kinds[kind] for kind in kinds if kind not in (processes.EMULATOR, processes.OURS)}

    def execution_of(self, name, machine=None):
        for execution in self.states.list_executions(stateMachineArn=machine or self.machine)["executions"]:
            described = self.states.describe_execution(executionArn=execution["executionArn"])
            if json.loads(described["input"]).get("request_id") == name:
                return execution["executionArn"]
        return None

    def send(self, workflow, texts):
        """Sends a request for each text in one call of SQS, and returns their ids."""
        ids = [f"sent-{self.sent + number}" for number in range(len(texts))]
        self.sent += len(texts)
        bodies = [{"workflow": workflow, "id": each, "inputs": {"text": text}} for each, text in zip(ids, texts)]
        entries = [{"Id": body["id"], "MessageBody": json.dumps(body)} for body in bodies]
        self.sqs.send_message_batch(QueueUrl=os.environ["InboxQueueUrl"], Entries=entries)
        return ids

    def wait_for_runs(self, ids):
        """Waits until the runs of these requests have succeeded."""
        for each in ids:
            execution = self.wait(each, lambda: self.execution_of(each, self.run_machine))
            ended = self.wait(each, lambda: self.ended(execution))
            if ended["status"] != "SUCCEEDED":
                raise Failed(f"the run {each} ended with {ended.get('error')}: {ended.get('cause')}")

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


def push(config):
    """Pushes the configuration in a folder to the stack."""
    command = [BUILT / "bcce", "--env", ENVIRONMENT, "config", "push", config]
    pushed = subprocess.run(command, capture_output=True, text=True)
    if pushed.returncode:
        raise Failed(f"the configuration was refused: {pushed.stderr.strip()}")


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
