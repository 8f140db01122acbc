"""Measures the items of a batch that the local stack completes per minute, for several concurrency limits: `make rate`.

The emulator ignores MaxConcurrencyPath. For each measurement, the script replaces it by a literal number in the
deployed state machine, which is otherwise unchanged.
"""

import json
import os
import sys
import time

import boto3

import progress

# The number of concurrent runs, and the number of items that suffices to measure their rate.
ROUNDS = [(1, 20), (8, 100), (32, 200)]


def main():
    states = boto3.client("stepfunctions")
    arn = os.environ["BatchArn"]
    machine = states.describe_state_machine(stateMachineArn=arn)
    print("at a time | items | seconds | items per minute")
    for at_a_time, items in ROUNDS:
        definition = json.loads(machine["definition"])
        run_items = definition["States"]["RunItems"]
        del run_items["MaxConcurrencyPath"]
        run_items["MaxConcurrency"] = at_a_time
        states.update_state_machine(stateMachineArn=arn, definition=json.dumps(definition), roleArn=machine["roleArn"])
        seconds = run_batch(states, arn, f"rate-{at_a_time}", items)
        print(f"{at_a_time:>9} | {items:>5} | {seconds:>7.1f} | {60 * items / seconds:>16.0f}", flush=True)


def run_batch(states, arn, name, items):
    """Returns the time from the message to the end of the execution, in seconds."""
    bucket, key = os.environ["ArtifactBucket"], f"batches/uploads/{name}.jsonl"
    lines = "".join(json.dumps({"text": f"number {n}"}) + "\n" for n in range(items))
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=lines.encode())
    message = {"workflow": "explain", "id": name, "batch": {"source": f"s3://{bucket}/{key}"}}
    started = time.monotonic()
    boto3.client("sqs").send_message(QueueUrl=os.environ["InboxQueueUrl"], MessageBody=json.dumps(message))
    runs = lambda: [one["status"] for one in states.list_executions(stateMachineArn=os.environ["WorkflowArn"])["executions"]]

    def ended():
        executions = states.list_executions(stateMachineArn=arn)["executions"]
        return [one for one in executions if is_of(states, one, name) and one["status"] != "RUNNING"]

    over = progress.wait(ended, lambda: (len(runs()), runs().count("RUNNING")), 0.2)
    if not over:
        sys.exit(f"error: the batch {name} makes no progress, its runs are {', '.join(runs())}")
    seconds = time.monotonic() - started
    if over[0]["status"] != "SUCCEEDED":
        described = states.describe_execution(executionArn=over[0]["executionArn"])
        sys.exit(f"error: the batch {name} ended with {described.get('error')}: {described.get('cause')}")
    return seconds


def is_of(states, execution, name):
    described = states.describe_execution(executionArn=execution["executionArn"])
    return json.loads(described["input"]).get("request_id") == name


if __name__ == "__main__":
    main()
