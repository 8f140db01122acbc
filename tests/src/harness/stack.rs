//! A client of the deployed stack. It has only the outputs of the stack, which are environment variables.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::{Message, QueueAttributeName};
use aws_sdk_ssm::types::ParameterType;
use bcce_core::config::documents::Pointer;
use bcce_core::ledger::{attempt_sk, run_pk};
use bcce_core::ports::ReadCounter;
use bcce_core::run::budgets::CounterState;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::models::{alias, with_aliases, with_tenants};

pub use crate::models::Layout;
pub use bcce_core::run::ids::RunRef;

/// The SDK clients of the deployed stack.
pub struct Stack {
    pub s3: aws_sdk_s3::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub sns: aws_sdk_sns::Client,
    pub sfn: aws_sdk_sfn::Client,
    pub ssm: aws_sdk_ssm::Client,
    pub kms: aws_sdk_kms::Client,
    pub dynamodb: aws_sdk_dynamodb::Client,
}

/// Returns an output of the stack.
///
/// # Panics
/// If the environment variable `name` is not set.
pub fn output(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: start the tests with infra/local/stack.py run")
    })
}

/// Returns a unique id that begins with `name`. A repeated test run on the same stack gets another id.
pub fn fresh(name: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("{name}-{}", now.as_nanos())
}

/// Returns the number of items or runs of a test: `usual`, or `large` under `make large`.
pub fn sized(usual: usize, large: usize) -> usize {
    std::env::var("BCCE_LARGE").map_or(usual, |_| large)
}

/// The initialization of the aliases. They are stored once per stack, before the first request, because `prepare`
/// caches the configuration for some seconds.
static ALIASES: OnceCell<()> = OnceCell::const_new();

/// Returns a model alias that no other test uses, so that failures of its targets do not affect other tests.
pub fn model(layout: Layout) -> String {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    alias(layout, TAKEN.fetch_add(1, Ordering::Relaxed))
}

impl Stack {
    /// Returns the clients. The first call stores the aliases of the tests in the configuration.
    pub async fn connect() -> Self {
        let stack = Self::connected().await;
        ALIASES.get_or_init(|| stack.put_aliases()).await;
        stack
    }

    async fn put_aliases(&self) {
        let (models, prices) = with_aliases(
            include_str!("../../../infra/config/dev/models.yaml"),
            include_str!("../../../infra/config/dev/prices.yaml"),
        );
        let shipped = include_str!("../../../infra/config/dev/workflows/explain.yaml");
        let listed = "request_models: [haiku, sonnet, opus]";
        assert!(
            shipped.contains(listed),
            "explain.yaml must contain `{listed}`, which the tests replace"
        );
        let explain = shipped.replace(listed, "request_models: [\"*\"]");
        let policy = with_tenants(include_str!("../../../infra/config/dev/policy.yaml"));
        for (name, body) in [
            ("models", models),
            ("prices", prices),
            ("policy", policy),
            ("workflows/explain", explain),
        ] {
            let pointer = self.put_config(&format!("{name}.yaml"), body.as_bytes()).await;
            self.point(name, &serde_json::to_string(&pointer).unwrap()).await;
        }
    }

    /// Returns the clients, and leaves the configuration as it is.
    pub async fn connected() -> Self {
        let config = bcce_aws::chain::sdk_config().await.unwrap();
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        Self {
            s3: aws_sdk_s3::Client::from_conf(s3),
            sqs: aws_sdk_sqs::Client::new(&config),
            sns: aws_sdk_sns::Client::new(&config),
            sfn: aws_sdk_sfn::Client::new(&config),
            ssm: aws_sdk_ssm::Client::new(&config),
            kms: aws_sdk_kms::Client::new(&config),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
        }
    }

    /// Puts a message on the inbox and returns its message id.
    pub async fn send(&self, body: &str) -> String {
        self.send_to(&output("InboxQueueUrl"), body).await
    }

    /// Puts a message on the queue with this URL and returns its message id.
    pub async fn send_to(&self, queue: &str, body: &str) -> String {
        let send = self.sqs.send_message().queue_url(queue).message_body(body);
        send.send().await.unwrap().message_id.unwrap()
    }

    /// Registers a workflow: stores the body in S3 and a pointer to it in SSM.
    pub async fn put_workflow(&self, name: &str, body: &str) {
        let pointer = self.put_template(name, body.as_bytes()).await;
        self.point_workflow(name, &serde_json::to_string(&pointer).unwrap()).await;
    }

    /// Registers a source of webhooks. Stores the secret of GitHub's documentation, with which the samples are signed.
    pub async fn put_webhook(&self, name: &str, body: &str) {
        let pointer = self.put_config(&format!("webhooks/{name}.yaml"), body.as_bytes()).await;
        self.point(&format!("webhooks/{name}"), &serde_json::to_string(&pointer).unwrap()).await;
        self.put_secret("github", "It's a Secret to Everybody").await;
    }

    /// Stores a webhook secret as a SecureString.
    pub async fn put_secret(&self, name: &str, value: &str) {
        self.ssm
            .put_parameter()
            .name(format!("/bcce/dev/secrets/{name}"))
            .value(value)
            .key_id(output("ArtifactKeyArn"))
            .overwrite(true)
            .r#type(ParameterType::SecureString)
            .send()
            .await
            .unwrap();
    }

    /// Stores the body of a workflow in S3 and returns the pointer to it.
    pub async fn put_template(&self, name: &str, body: &[u8]) -> Pointer {
        self.put_config(&format!("workflows/{name}/test.yaml"), body).await
    }

    async fn put_config(&self, path: &str, body: &[u8]) -> Pointer {
        let (bucket, key) = (output("ArtifactBucket"), format!("config/{path}"));
        let put = self.s3.put_object().bucket(&bucket).key(&key).body(body.to_vec().into());
        put.send().await.unwrap();
        Pointer::to(&bucket, &key, body)
    }

    /// Reads a counter of a budget.
    pub async fn counter(&self, counter: &str) -> CounterState {
        let config = bcce_aws::chain::sdk_config().await.unwrap();
        let ledger = bcce_aws::dynamodb::Ledger::new(&config, &output("LedgerTable"));
        ledger.counter(counter).await.unwrap()
    }

    /// Sets the document `budgets`.
    pub async fn put_budgets(&self, yaml: &str) {
        self.point("budgets", yaml).await;
    }

    /// Sets the SSM parameter of a workflow.
    pub async fn point_workflow(&self, name: &str, value: &str) {
        self.point(&format!("workflows/{name}"), value).await;
    }

    async fn point(&self, name: &str, value: &str) {
        let parameter = format!("/bcce/dev/{name}");
        let put = self.ssm.put_parameter().name(parameter).value(value).overwrite(true);
        put.r#type(ParameterType::String).send().await.unwrap();
    }

    /// Sends a request and waits for its run's manifest.
    pub async fn run(&self, workflow: &str, id: &str, inputs: Value) -> Value {
        self.send(&json!({ "workflow": workflow, "id": id, "inputs": inputs }).to_string()).await;
        self.manifest(&RunRef::first("default", workflow, id)).await
    }

    /// Runs `explain` with a model alias of its own and waits for the manifest. The input begins with `script`, a
    /// script for the scripted model.
    pub async fn explain(&self, id: &str, script: &str) -> Value {
        self.explain_by(&model(Layout::Two), id, script).await
    }

    /// Runs `explain` like [`Self::explain`], with this model alias.
    pub async fn explain_by(&self, model: &str, id: &str, script: &str) -> Value {
        let text = format!("{script}\nA breaker opens on evidence.");
        let request =
            json!({ "workflow": "explain", "id": id, "model": model, "inputs": { "text": text } });
        self.send(&request.to_string()).await;
        self.manifest(&RunRef::first("default", "explain", id)).await
    }

    /// Returns the ARN of a run's execution.
    pub fn arn(&self, run: &RunRef) -> String {
        let machine = output("WorkflowArn").replacen(":stateMachine:", ":execution:", 1);
        format!("{machine}:{}", run.execution_name())
    }

    /// Returns the ledger's record of a run attempt.
    pub async fn record(&self, run: &RunRef) -> HashMap<String, AttributeValue> {
        let get = self
            .dynamodb
            .get_item()
            .table_name(output("LedgerTable"))
            .key("pk", AttributeValue::S(run_pk(&run.run_id)))
            .key("sk", AttributeValue::S(attempt_sk(run.attempt_no)));
        get.send().await.unwrap().item.expect("the run has a record")
    }

    /// Returns the artifact of a step.
    pub async fn step(&self, run: &RunRef, step: &str) -> Value {
        let key = run.step_key(step, None);
        let body = self.object(&key).await.unwrap_or_else(|| panic!("{key} is missing"));
        serde_json::from_slice(&body).unwrap()
    }

    /// Returns an object of the artifact bucket, or `None` if it cannot be read.
    pub async fn object(&self, key: &str) -> Option<Vec<u8>> {
        let get =
            self.s3.get_object().bucket(output("ArtifactBucket")).key(key).send().await.ok()?;
        Some(get.body.collect().await.unwrap().to_vec())
    }

    /// Returns the keys of all objects of a run.
    pub async fn keys(&self, run: &RunRef) -> Vec<String> {
        let list = self.s3.list_objects_v2().bucket(output("ArtifactBucket")).prefix(run.prefix());
        let listed = list.send().await.unwrap();
        listed.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
    }

    /// Creates a queue that is subscribed to the notifications topic. Returns its URL.
    pub async fn listen(&self, name: &str) -> String {
        let arn = format!("arn:aws:sqs:us-east-1:000000000000:{name}");
        // If IAM is enforced, the topic needs a permission in the policy of the queue.
        let policy = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": arn,
            "Principal": { "Service": "sns.amazonaws.com" },
        }] });
        let create = self
            .sqs
            .create_queue()
            .queue_name(name)
            .attributes(QueueAttributeName::Policy, policy.to_string());
        let queue = create.send().await.unwrap().queue_url.unwrap();
        self.sns
            .subscribe()
            .topic_arn(output("NotificationsTopicArn"))
            .protocol("sqs")
            .endpoint(arn)
            .attributes("RawMessageDelivery", "true")
            .send()
            .await
            .unwrap();
        queue
    }

    /// Receives all messages that are in a queue, and hides each from other receivers for `hidden_s` seconds. On a slow
    /// machine SQS may show a message again in the meantime. Such a message is returned once.
    pub async fn sweep(&self, queue: &str, hidden_s: i32) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut known = HashSet::new();
        loop {
            let receive = self
                .sqs
                .receive_message()
                .queue_url(queue)
                .max_number_of_messages(10)
                .visibility_timeout(hidden_s)
                .message_attribute_names("All");
            let mut received = receive.send().await.unwrap().messages.unwrap_or_default();
            received.retain(|message| known.insert(message.message_id.clone()));
            if received.is_empty() {
                return messages;
            }
            messages.extend(received);
        }
    }
}

/// Invokes a function with an event, as AWS does, and returns its response.
pub fn invoke(function: &str, event: &Value) -> Value {
    let (stack, url) = (output("BCCE_STACK"), output("AWS_ENDPOINT_URL"));
    let url = format!("{url}/2015-03-31/functions/{stack}-{function}/invocations");
    let signed = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/lambda/aws4_request";
    let answer = ureq::post(url).header("authorization", signed).send(event.to_string());
    let body = answer.unwrap().body_mut().read_to_string().unwrap();
    serde_json::from_str(&body).unwrap()
}

/// Returns the calls of a run that the scripted model received, in order.
pub fn calls(run: &RunRef) -> Vec<Value> {
    let url = format!("{}/__calls?run={}", output("SCRIPTED_MODEL_URL"), run.run_id);
    let body = ureq::get(&url).call().unwrap().body_mut().read_to_string().unwrap();
    serde_json::from_str(&body).unwrap()
}

/// Returns all calls that the scripted model received, in order.
pub fn all_calls() -> Vec<Value> {
    let url = format!("{}/__calls", output("SCRIPTED_MODEL_URL"));
    let mut response = ureq::get(&url).call().unwrap();
    let body = response.body_mut().with_config().limit(1 << 30).read_to_string().unwrap();
    serde_json::from_str(&body).unwrap()
}

/// Creates an application inference profile of a system-defined one and returns its ARN.
pub fn create_profile(region: &str, source: &str) -> String {
    let url = format!("{}/{region}/inference-profiles", output("SCRIPTED_MODEL_URL"));
    let source = format!("arn:aws:bedrock:{region}:000000000000:inference-profile/{source}");
    let body = json!({ "inferenceProfileName": "test", "modelSource": { "copyFrom": source } });
    let mut answer = ureq::post(url).send(body.to_string()).unwrap();
    let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    answer["inferenceProfileArn"].as_str().unwrap().to_owned()
}

/// Releases the answers that a script holds under this name: `@model *: held(<name>)`.
pub fn release(hold: &str) {
    let url = format!("{}/__release?hold={hold}", output("SCRIPTED_MODEL_URL"));
    assert_eq!(ureq::post(url).send_empty().unwrap().status(), 200);
}

/// Returns the log of a function from CloudWatch Logs. The request is sent without an SDK: of the signature, the
/// emulator reads only the service and the region.
pub fn log(function: &str) -> String {
    let group = format!("/aws/lambda/{}-{function}", output("BCCE_STACK"));
    let mut log = String::new();
    let mut token = Value::Null;
    loop {
        let mut filter = json!({ "logGroupName": group });
        if token.is_string() {
            filter["nextToken"] = token;
        }
        let answer = ureq::post(output("AWS_ENDPOINT_URL"))
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/logs/aws4_request",
            )
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", "Logs_20140328.FilterLogEvents")
            .send(filter.to_string());
        let body = answer.unwrap().body_mut().read_to_string().unwrap();
        let page: Value = serde_json::from_str(&body).unwrap();
        log += &page["events"].to_string();
        token = page["nextToken"].clone();
        if !token.is_string() {
            return log;
        }
    }
}
