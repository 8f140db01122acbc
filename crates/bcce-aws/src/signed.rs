//! Signed calls of services for which this crate has no SDK client: STS, IAM, EC2, CloudWatch and EventBridge. Each of them
//! is asked one or two questions by `bcce doctor`. The clients of EC2 and IAM alone take minutes to compile.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_async::time::{SharedTimeSource, SystemTimeSource};
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use bcce_core::base::error::Fault;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use serde_json::Value;

/// The longest time of a call.
const LIMIT: Duration = Duration::from_secs(10);

/// The services, called with the credentials of a configuration.
pub struct Services {
    config: SdkConfig,
    /// The header `Date` of the last answer.
    date: Mutex<Option<String>>,
}

/// An operation of a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Action {
    /// The prefix of the operation in IAM, such as `cloudwatch`.
    pub service: &'static str,
    /// The first part of the host, which is also the name that signatures have, such as `monitoring`.
    pub host: &'static str,
    pub name: &'static str,
}

/// An answer of a service.
#[derive(Debug)]
pub(crate) struct Answer {
    pub body: String,
    /// The header `Date`.
    date: Option<String>,
}

#[derive(Debug)]
struct Raw {
    status: u16,
    answer: Answer,
}

impl Services {
    pub fn new(config: &SdkConfig) -> Self {
        Self { config: config.clone(), date: Mutex::default() }
    }

    /// Returns the time of a service when it gave the last answer, also if that was an error. A service refuses the
    /// signatures of a clock that is wrong.
    pub fn server_time(&self) -> Option<OffsetDateTime> {
        let date = self.date.lock().ok()?.clone()?.replace("GMT", "+0000");
        OffsetDateTime::parse(&date, &Rfc2822).ok()
    }

    /// Calls an operation of a service that takes a form and answers in XML. `version` is that of the service's API.
    ///
    /// # Errors
    /// `Bcce.Internal`: the service cannot be reached, or returns an error. The message has the code of the error.
    pub(crate) async fn form(
        &self,
        action: Action,
        version: &str,
        fields: &[(String, String)],
    ) -> Result<Answer, Fault> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", action.name).append_pair("Version", version);
        form.extend_pairs(fields);
        let headers = [("content-type", "application/x-www-form-urlencoded".to_owned())];
        self.call(action, &headers, form.finish()).await
    }

    /// Calls an operation of CloudWatch or EventBridge, which take and return JSON.
    ///
    /// # Errors
    /// As [`Self::form`].
    pub(crate) async fn json(&self, action: Action, body: &Value) -> Result<Value, Fault> {
        // The version of JSON and the prefix of operations are part of each service's protocol.
        let (version, prefix) = match action.host {
            "monitoring" => ("1.0", "GraniteServiceVersion20100801"),
            _ => ("1.1", "AWSEvents"),
        };
        let headers = [
            ("content-type", format!("application/x-amz-json-{version}")),
            ("x-amz-target", format!("{prefix}.{}", action.name)),
        ];
        let answer = self.call(action, &headers, body.to_string()).await?.body;
        // Some operations answer with an empty body.
        let text = if answer.is_empty() { "{}" } else { &answer };
        serde_json::from_str(text).map_err(|_| action.fault("the response could not be read"))
    }

    async fn call(
        &self,
        action: Action,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Result<Answer, Fault> {
        let (url, region) = self.place(action);
        let request = self.signed(action, (&url, &region), headers, &body).await?;
        let raw = self.send(action, &url, request).await?;
        if let Ok(mut date) = self.date.lock() {
            date.clone_from(&raw.answer.date);
        }
        match raw.status {
            200..300 => Ok(raw.answer),
            status => Err(action.fault(&code(&raw.answer.body, status))),
        }
    }

    /// Returns the URL of a service and the region that signatures name.
    fn place(&self, action: Action) -> (String, String) {
        let region = self.config.region().map(ToString::to_string).unwrap_or_default();
        let of_aws = || format!("https://{}.{region}.{}", action.host, suffix(&region));
        // IAM has one endpoint for all regions of a partition.
        let (url, signed) = match action.host {
            "iam" => iam(&region),
            _ => (of_aws(), region.as_str()),
        };
        let url = self.config.endpoint_url().map_or(url, str::to_owned);
        (url, signed.to_owned())
    }

    async fn signed(
        &self,
        action: Action,
        (url, region): (&str, &str),
        headers: &[(&'static str, String)],
        body: &str,
    ) -> Result<HttpRequest, Fault> {
        let provider = self.config.credentials_provider();
        let provider = provider.ok_or_else(|| action.fault("no credentials"))?;
        let credentials = provider.provide_credentials().await;
        let identity = credentials.map_err(|_| action.fault("no credentials"))?.into();
        let broken = |_| action.fault("the request could not be built");
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(action.host)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|_| broken(()))?
            .into();
        let url = format!("{}/", url.trim_end_matches('/'));
        let mut request = http::Request::builder().method("POST").uri(&url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let mut request = request.body(SdkBody::from(body)).map_err(|_| broken(()))?;
        let signed = headers.iter().map(|(name, value)| (*name, value.as_str()));
        let body = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new("POST", &url, signed, body).map_err(|_| broken(()))?;
        let (instructions, _) = sign(signable, &parameters).map_err(|_| broken(()))?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        request.try_into().map_err(|_| broken(()))
    }

    async fn send(&self, action: Action, url: &str, request: HttpRequest) -> Result<Raw, Fault> {
        let client =
            self.config.http_client().ok_or_else(|| action.fault("there is no HTTP client"))?;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(3))
            .operation_timeout(LIMIT)
            .build();
        let operation = Operation::builder()
            .service_name(action.service)
            .operation_name(action.name)
            .behavior_version(BehaviorVersion::latest())
            .http_client(client)
            .endpoint_url(url)
            .no_retry()
            .no_auth()
            .timeout_config(timeouts)
            .sleep_impl(crate::sdk_config::sleep_impl())
            .time_source(SharedTimeSource::new(SystemTimeSource::new()))
            .serializer(|request: HttpRequest| Ok::<_, BoxError>(request))
            .deserializer::<Raw, std::convert::Infallible>(|response| {
                let body = response.body().bytes().unwrap_or_default();
                let date = response.headers().get("date").map(str::to_owned);
                let body = String::from_utf8_lossy(body).into_owned();
                Ok(Raw { status: response.status().as_u16(), answer: Answer { body, date } })
            })
            .build();
        operation.invoke(request).await.map_err(|error| match error {
            SdkError::TimeoutError(_) => action.fault("timed out"),
            SdkError::DispatchFailure(_) => action.fault("no connection"),
            _ => action.fault("the response could not be read"),
        })
    }
}

impl Action {
    /// Returns the fault of a call that failed with `cause`.
    pub fn fault(self, cause: &str) -> Fault {
        Fault::internal(format!("{}:{}: {cause}", self.service, self.name))
    }
}

/// Returns the end of the host names of a region.
fn suffix(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// Returns the URL of IAM in the partition of a region, and the region that its signatures name.
fn iam(region: &str) -> (String, &'static str) {
    let (host, signed) = match region {
        _ if region.starts_with("cn-") => ("iam.cn-north-1", "cn-north-1"),
        _ if region.starts_with("us-gov-") => ("iam.us-gov", "us-gov-west-1"),
        _ => ("iam", "us-east-1"),
    };
    (format!("https://{host}.{}", suffix(region)), signed)
}

/// Returns the code of an error, which is in JSON or in XML.
fn code(body: &str, status: u16) -> String {
    let json: Option<Value> = serde_json::from_str(body).ok();
    let of_json = json.as_ref().and_then(|value| value["__type"].as_str());
    let of_json = of_json.map(|kind| kind.rsplit('#').next().unwrap_or(kind).to_owned());
    of_json.or_else(|| texts(body, "Code").into_iter().next()).unwrap_or(format!("HTTP {status}"))
}

/// Returns the text of each element `name` of an XML document, in its order. Returns nothing if the document is broken.
pub(crate) fn texts(xml: &str, name: &str) -> Vec<String> {
    each(xml, name, |element| element.text().unwrap_or_default().to_owned())
}

/// Returns what `read` makes of each element `name` of an XML document.
pub(crate) fn each<T>(
    xml: &str,
    name: &str,
    read: impl Fn(roxmltree::Node<'_, '_>) -> T,
) -> Vec<T> {
    let Ok(document) = roxmltree::Document::parse(xml) else { return Vec::new() };
    let is_it = |node: &roxmltree::Node<'_, '_>| node.tag_name().name() == name;
    document.descendants().filter(is_it).map(read).collect()
}

/// Returns the text of the child `name` of an element. Returns an empty text if there is none.
pub(crate) fn child(element: roxmltree::Node<'_, '_>, name: &str) -> String {
    let found = element.children().find(|node| node.tag_name().name() == name);
    found.and_then(|node| node.text()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_error_is_found_in_each_form() {
        let xml =
            "<ErrorResponse xmlns=\"x\"><Error><Code>AccessDenied</Code></Error></ErrorResponse>";
        assert_eq!(code(xml, 403), "AccessDenied");
        assert_eq!(code(r#"{"__type":"a#AccessDeniedException"}"#, 400), "AccessDeniedException");
        assert_eq!(code("<html>", 502), "HTTP 502");
    }

    #[test]
    fn iam_has_one_endpoint_in_each_partition() {
        for (region, url, signed) in [
            ("eu-west-1", "https://iam.amazonaws.com", "us-east-1"),
            ("us-gov-east-1", "https://iam.us-gov.amazonaws.com", "us-gov-west-1"),
            ("cn-northwest-1", "https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ] {
            assert_eq!(iam(region), (url.to_owned(), signed));
        }
    }
}
