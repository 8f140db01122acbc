//! The practical limit of `invoke`: its requests on hyper and SigV4, without the SDK and without what the product is for.
//! It reads the stored answer and the plan, logs the call, calls the targets in order until one answers, and stores the
//! text. It has no retries, no time limits and no checks of digests.

use std::cell::RefCell;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bcce_aws::{StartError, variable};
use bcce_core::base::error::Fault;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;

fn main() -> Result<(), StartError> {
    bcce_aws::block_on(async {
        let services = Services {
            endpoint: variable("AWS_ENDPOINT_URL")?.trim_start_matches("http://").to_owned(),
            bucket: variable("BCCE_ARTIFACT_BUCKET")?,
            key: variable("BCCE_ARTIFACT_KEY_ARN")?,
            table: variable("BCCE_LEDGER_TABLE")?,
            credentials: Credentials::new(
                variable("AWS_ACCESS_KEY_ID")?,
                variable("AWS_SECRET_ACCESS_KEY")?,
                None,
                None,
                "environment",
            ),
            idle: RefCell::default(),
        };
        bcce_aws::serve(|event: Value, _| async { services.invoke(event).await.map_err(broken) })
            .await
    })
}

fn broken(error: Box<dyn std::error::Error>) -> Fault {
    Fault::internal(error.to_string())
}

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The header with the digest of a body that is stored.
const DIGEST: &str = "x-amz-checksum-sha256";

struct Services {
    endpoint: String,
    bucket: String,
    key: String,
    table: String,
    credentials: Credentials,
    /// The connections that are not in use.
    idle: RefCell<Vec<SendRequest<Full<Bytes>>>>,
}

impl Services {
    async fn invoke(&self, event: Value) -> Result<Value> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (run, tenant) = (text(&event["run"]["run_id"]), text(&event["run"]["tenant"]));
        let step = text(&event["step"]["step"]);
        let folder = format!("/{}/runs/{tenant}/{run}", self.bucket);
        let answer = format!("{folder}/steps/{step}.answer.json");
        let get = |path: String| self.send("s3", "us-east-1", "GET", path, vec![], Bytes::new());
        let stored = get(format!("{answer}?x-id=GetObject"));
        let (stored, plan) =
            tokio::join!(stored, get(format!("{folder}/plan.json?x-id=GetObject")));
        let ((status, _), (_, plan)) = (stored?, plan?);
        if status != 404 {
            return Err(format!("the answer is stored already: {status}").into());
        }
        let plan: Value = serde_json::from_slice(&plan)?;
        let log = async {
            let update = json!({
                "TableName": self.table,
                "Key": { "pk": { "S": format!("run#{run}") }, "sk": { "S": format!("call#{step}") } },
                "UpdateExpression": "SET started_at = :at",
                "ExpressionAttributeValues": { ":at": { "S": "now" } },
            });
            let target = ("x-amz-target".to_owned(), "DynamoDB_20120810.UpdateItem".to_owned());
            let update = update.to_string().into();
            self.send("dynamodb", "us-east-1", "POST", "/".into(), vec![target], update).await
        };
        let call = self.call(&event["next"]["targets"], &plan);
        let (called, logged) = tokio::join!(call, log);
        logged?;
        let body = Bytes::from(json!({ "output": called? }).to_string());
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("if-none-match", "*".to_owned()),
            (DIGEST, STANDARD.encode(Sha256::digest(&body))),
            ("x-amz-server-side-encryption", "aws:kms".to_owned()),
            ("x-amz-server-side-encryption-aws-kms-key-id", self.key.clone()),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value)).into();
        let path = format!("{answer}?x-id=PutObject");
        let (status, _) = self.send("s3", "us-east-1", "PUT", path, headers, body).await?;
        if status != 200 {
            return Err(format!("the answer is not stored: {status}").into());
        }
        Ok(json!({ "outcome": "answered", "status": "SUCCEEDED" }))
    }

    /// Calls the targets in order until one answers. Returns the text.
    async fn call(&self, targets: &Value, plan: &Value) -> Result<String> {
        let prompt = plan["inputs"]["text"].as_str().ok_or("the plan has no text")?;
        let body = json!({
            "messages": [{ "role": "user", "content": [{ "text": prompt }] }],
            "inferenceConfig": { "maxTokens": plan["steps"][0]["max_tokens"] },
        });
        let body = Bytes::from(body.to_string());
        for target in targets.as_array().into_iter().flatten() {
            let region = target["region"].as_str().unwrap_or_default();
            let model = target["model_id"].as_str().unwrap_or_default();
            let path = format!("/{region}/model/{model}/converse-stream");
            let kind = ("content-type".to_owned(), "application/json".to_owned());
            let (status, body) =
                self.send("bedrock", region, "POST", path, vec![kind], body.clone()).await?;
            if status == 200 {
                return text(&body);
            }
        }
        Err("no target answered".into())
    }

    /// Sends a request and returns the status and the body of its answer.
    async fn send(
        &self,
        service: &str,
        region: &str,
        method: &str,
        path: String,
        headers: Vec<(String, String)>,
        body: Bytes,
    ) -> Result<(u16, Bytes)> {
        let url = format!("http://{}{path}", self.endpoint);
        let mut settings = SigningSettings::default();
        if service == "s3" {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(service)
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let named = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        // The digest is computed once, as in `invoke`.
        let digest = headers.iter().find(|(name, _)| name == DIGEST);
        let known = digest
            .and_then(|(_, digest)| STANDARD.decode(digest).ok())
            .map(|digest| digest.iter().map(|byte| format!("{byte:02x}")).collect());
        let payload = known.map_or(SignableBody::Bytes(&body), SignableBody::Precomputed);
        let signable = SignableRequest::new(method, &url, named, payload)?;
        let (instructions, _) = sign(signable, &parameters)?.into_parts();
        let mut request =
            Request::builder().method(method).uri(path).header("host", &self.endpoint);
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let mut request = request.body(Full::new(body))?;
        instructions.apply_to_request_http1x(&mut request);
        let idle = self.idle.borrow_mut().pop();
        let mut connection = match idle.filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let response = connection.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        self.idle.borrow_mut().push(connection);
        Ok((status, body))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(&self.endpoint).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// Returns the text of the frames of an answer.
fn text(body: &[u8]) -> Result<String> {
    let (mut decoder, mut rest, mut text) = (MessageFrameDecoder::new(), body, String::new());
    while let DecodedFrame::Complete(message) = decoder.decode_frame(&mut rest)? {
        let event: Value = serde_json::from_slice(message.payload())?;
        text.push_str(event["delta"]["text"].as_str().unwrap_or_default());
    }
    if text.is_empty() { Err("the answer has no text".into()) } else { Ok(text) }
}
