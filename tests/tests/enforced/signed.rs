//! Calls to any service, signed with any credentials.
//!
//! The tests check permissions of IAM, Lambda, CloudWatch Logs and other services. An SDK client for each service would
//! take longer to compile than all the tests take to run.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_types::body::SdkBody;
use bcce_tests::harness::stack::output;
use http_body_util::BodyExt;
use serde_json::Value;

pub struct Call {
    service: &'static str,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Call {
    /// Makes a call of IAM, STS or SNS, whose body is a form.
    pub fn form(service: &'static str, fields: &[(&str, &str)]) -> Self {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let headers = vec![("content-type", "application/x-www-form-urlencoded".to_owned())];
        Self { service, method: "POST", path: "/".into(), headers, body: form.finish() }
    }

    /// Makes a call of a JSON service such as SQS, SSM or CloudWatch Logs. `target` is the operation.
    pub fn json(service: &'static str, target: &str, body: &Value) -> Self {
        let headers = vec![
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", target.to_owned()),
        ];
        Self { service, method: "POST", path: "/".into(), headers, body: body.to_string() }
    }

    pub fn get(service: &'static str, path: String) -> Self {
        Self { service, method: "GET", path, headers: Vec::new(), body: String::new() }
    }

    pub fn post(service: &'static str, path: String, body: String) -> Self {
        Self { service, method: "POST", path, headers: Vec::new(), body }
    }

    pub fn put(service: &'static str, path: String, body: String) -> Self {
        Self { service, method: "PUT", path, headers: Vec::new(), body }
    }

    /// Describes the call for the message of a failed test.
    pub fn describe(&self) -> String {
        format!("{} {} {} {:?} {}", self.service, self.method, self.path, self.headers, self.body)
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// True if a Lambda function was called and failed.
    pub function_failed: bool,
    pub body: String,
}

impl Answer {
    /// Returns true if the service refused the call for lack of permission.
    pub fn is_refused(&self) -> bool {
        let words = ["AccessDenied", "AuthorizationError"];
        self.status >= 400 && words.iter().any(|word| self.body.contains(word))
    }

    /// Returns each text between `start` and the next `end` in the body.
    pub fn between(&self, start: &str, end: &str) -> Vec<&str> {
        self.body.split(start).skip(1).filter_map(|rest| rest.split(end).next()).collect()
    }
}

pub struct Caller {
    credentials: Credentials,
    connector: SharedHttpConnector,
}

impl Caller {
    pub fn new(credentials: Credentials) -> Self {
        let components = RuntimeComponentsBuilder::for_tests()
            .with_sleep_impl(Some(bcce_aws::sleep_impl()))
            .with_time_source(Some(SharedTimeSource::new(SystemTimeSource::new())))
            .build()
            .unwrap();
        let settings = HttpConnectorSettings::builder().build();
        let connector = bcce_aws::http_client().unwrap().http_connector(&settings, &components);
        Self { credentials, connector }
    }

    /// Returns a caller with the credentials of the environment, which may do everything in the account.
    pub fn root() -> Self {
        let of = |name| std::env::var(name).unwrap();
        let (key, secret) = (of("AWS_ACCESS_KEY_ID"), of("AWS_SECRET_ACCESS_KEY"));
        Self::new(Credentials::new(key, secret, None, None, "environment"))
    }

    pub async fn call(&self, call: Call) -> Answer {
        let url = format!("{}{}", output("AWS_ENDPOINT_URL"), call.path);
        let mut request = http::Request::builder().method(call.method).uri(&url);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let mut request = request.body(SdkBody::from(call.body.as_str())).unwrap();

        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = self.credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name(call.service)
            .time(SystemTime::now())
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let headers = call.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let body = SignableBody::Bytes(call.body.as_bytes());
        let signable = SignableRequest::new(call.method, &url, headers, body).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        instructions.apply_to_request_http1x(&mut request);

        let response = self.connector.call(request.try_into().unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let function_failed = response.headers().get("x-amz-function-error").is_some();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, function_failed, body: String::from_utf8_lossy(&body).into_owned() }
    }
}
