// The requests of `invoke` by the AWS SDK for JavaScript, on the Lambda Runtime API: what a handler in Node costs that
// does the same calls. It has the digests and time limits of the SDK and none of the product's decisions. The SDK's
// retries are off, as in `invoke`.

import { createHash } from "node:crypto";
import http from "node:http";

import { BedrockRuntimeClient, ConverseStreamCommand } from "@aws-sdk/client-bedrock-runtime";
import { DynamoDBClient, UpdateItemCommand } from "@aws-sdk/client-dynamodb";
import { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { NodeHttpHandler } from "@smithy/node-http-handler";

const { BCCE_ARTIFACT_BUCKET: Bucket, BCCE_ARTIFACT_KEY_ARN: key, BCCE_LEDGER_TABLE: TableName } = process.env;
const { AWS_REGION: region, AWS_ENDPOINT_URL: endpoint, AWS_ENDPOINT_URL_BEDROCK_RUNTIME: bedrock } = process.env;
// The SDK refuses an endpoint with FIPS.
const config = { region, endpoint, maxAttempts: 1, useFipsEndpoint: false };
const s3 = new S3Client({ ...config, forcePathStyle: true });
const dynamodb = new DynamoDBClient(config);
const models = new Map();
// The default of this client is HTTP/2, which the bench does not serve.
const requestHandler = new NodeHttpHandler();

function model(region) {
  if (!models.has(region)) {
    const endpoint = bedrock.replace("{region}", region);
    models.set(region, new BedrockRuntimeClient({ ...config, region, endpoint, requestHandler }));
  }
  return models.get(region);
}

async function handle({ run, step: { step }, next: { targets } }) {
  const folder = `runs/${run.tenant}/${run.run_id}`;
  const answer = `${folder}/steps/${step}.answer.json`;
  const [stored, read] = await Promise.all([
    s3.send(new GetObjectCommand({ Bucket, Key: answer })).catch((error) => error),
    s3.send(new GetObjectCommand({ Bucket, Key: `${folder}/plan.json` })),
  ]);
  if (stored.name !== "NoSuchKey") throw new Error(`the answer is stored already: ${stored.name}`);
  const plan = JSON.parse(await read.Body.transformToString());
  const log = new UpdateItemCommand({
    TableName,
    Key: { pk: { S: `run#${run.run_id}` }, sk: { S: `call#${step}` } },
    UpdateExpression: "SET started_at = :at",
    ExpressionAttributeValues: { ":at": { S: "now" } },
  });
  const [output] = await Promise.all([call(targets, plan), dynamodb.send(log)]);
  const Body = JSON.stringify({ output });
  const put = new PutObjectCommand({
    Bucket,
    Key: answer,
    Body,
    ContentType: "application/json",
    IfNoneMatch: "*",
    ChecksumSHA256: createHash("sha256").update(Body).digest("base64"),
    ServerSideEncryption: "aws:kms",
    SSEKMSKeyId: key,
  });
  await s3.send(put);
  return { outcome: "answered", status: "SUCCEEDED" };
}

// Calls the targets in order until one answers. Returns the text.
async function call(targets, plan) {
  for (const { region, model_id: modelId } of targets) {
    const converse = new ConverseStreamCommand({
      modelId,
      messages: [{ role: "user", content: [{ text: plan.inputs.text }] }],
      inferenceConfig: { maxTokens: plan.steps[0].max_tokens },
    });
    let response;
    try {
      response = await model(region).send(converse);
    } catch {
      continue;
    }
    let text = "";
    for await (const event of response.stream) text += event.contentBlockDelta?.delta?.text ?? "";
    if (text) return text;
  }
  throw new Error("no target answered");
}

const agent = new http.Agent({ keepAlive: true });
const runtime = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;

function ask(method, path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(`${runtime}${path}`, { method, agent }, async (response) => {
      let text = "";
      for await (const chunk of response) text += chunk;
      resolve([response.headers["lambda-runtime-aws-request-id"], text]);
    });
    request.on("error", reject).end(body);
  });
}

for (;;) {
  const [id, event] = await ask("GET", "/next");
  let kind = "response", answer;
  try {
    answer = await handle(JSON.parse(event));
  } catch (error) {
    [kind, answer] = ["error", { errorType: error.name, errorMessage: error.message }];
  }
  await ask("POST", `/${id}/${kind}`, JSON.stringify(answer));
}
