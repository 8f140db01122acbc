"""The requests of `invoke` by boto3, on the Lambda Runtime API: what a handler in Python costs that does the same calls.

It has the digests and time limits of the SDK and none of the product's decisions. The SDK's retries are off, as in `invoke`.
"""

import base64
import concurrent.futures
import hashlib
import http.client
import json
import os

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

BUCKET, KEY, TABLE = (os.environ[f"BCCE_{name}"] for name in ("ARTIFACT_BUCKET", "ARTIFACT_KEY_ARN", "LEDGER_TABLE"))
MODELS = os.environ["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"]
# The SDK refuses an endpoint with FIPS.
CONFIG = Config(use_fips_endpoint=False, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})

s3 = boto3.client("s3", config=CONFIG)
dynamodb = boto3.client("dynamodb", config=CONFIG)
aside = concurrent.futures.ThreadPoolExecutor(1)
models = {}


def model(region):
    if region not in models:
        url = MODELS.replace("{region}", region)
        models[region] = boto3.client("bedrock-runtime", region_name=region, endpoint_url=url, config=CONFIG)
    return models[region]


def handle(event):
    run, step = event["run"], event["step"]["step"]
    folder = f"runs/{run['tenant']}/{run['run_id']}"
    answer = f"{folder}/steps/{step}.answer.json"
    read = aside.submit(s3.get_object, Bucket=BUCKET, Key=f"{folder}/plan.json")
    try:
        s3.get_object(Bucket=BUCKET, Key=answer)
        raise RuntimeError("the answer is stored already")
    except s3.exceptions.NoSuchKey:
        pass
    plan = json.loads(read.result()["Body"].read())
    logged = aside.submit(
        dynamodb.update_item,
        TableName=TABLE,
        Key={"pk": {"S": f"run#{run['run_id']}"}, "sk": {"S": f"call#{step}"}},
        UpdateExpression="SET started_at = :at",
        ExpressionAttributeValues={":at": {"S": "now"}},
    )
    body = json.dumps({"output": call(event["next"]["targets"], plan)}).encode()
    logged.result()
    s3.put_object(
        Bucket=BUCKET,
        Key=answer,
        Body=body,
        ContentType="application/json",
        IfNoneMatch="*",
        ChecksumSHA256=base64.b64encode(hashlib.sha256(body).digest()).decode(),
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId=KEY,
    )
    return {"outcome": "answered", "status": "SUCCEEDED"}


def call(targets, plan):
    """Calls the targets in order until one answers. Returns the text."""
    for target in targets:
        try:
            response = model(target["region"]).converse_stream(
                modelId=target["model_id"],
                messages=[{"role": "user", "content": [{"text": plan["inputs"]["text"]}]}],
                inferenceConfig={"maxTokens": plan["steps"][0]["max_tokens"]},
            )
        except ClientError:
            continue
        deltas = (event.get("contentBlockDelta", {}).get("delta", {}) for event in response["stream"])
        text = "".join(delta.get("text", "") for delta in deltas)
        if text:
            return text
    raise RuntimeError("no target answered")


def main(handle):
    runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    path = "/2018-06-01/runtime/invocation"
    while True:
        runtime.request("GET", f"{path}/next")
        response = runtime.getresponse()
        invocation, event = response.getheader("lambda-runtime-aws-request-id"), json.loads(response.read())
        try:
            kind, body = "response", handle(event)
        except Exception as error:
            kind, body = "error", {"errorType": type(error).__name__, "errorMessage": str(error)}
        runtime.request("POST", f"{path}/{invocation}/{kind}", json.dumps(body))
        runtime.getresponse().read()


if __name__ == "__main__":
    main(handle)
