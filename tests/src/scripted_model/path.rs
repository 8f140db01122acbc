//! Parses the path of a request: the operation on a model, or on a job.

/// A call of Converse or ConverseStream on one model in one region.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    pub region: String,
    pub model_id: String,
    pub stream: bool,
}

impl Operation {
    /// Parses `/<region>/model/<model id, percent-encoded>/converse[-stream]`.
    pub fn parse(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix('/')?.split('/');
        let (region, "model", model_id, name, None) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next())
        else {
            return None;
        };
        let stream = match name {
            "converse" => false,
            "converse-stream" => true,
            _ => return None,
        };
        let (region, model_id) = (region.to_owned(), percent_decode(model_id));
        Some(Self { region, model_id, stream })
    }
}

/// An operation on the bulk jobs of one region.
#[derive(Clone, Debug, PartialEq)]
pub struct JobOperation {
    pub region: String,
    pub wanted: Wanted,
}

/// The wanted operation. A job is identified by its ARN or the last part of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    Create,
    /// Lists the jobs whose names contain this text.
    List(String),
    Get(String),
    Stop(String),
}

impl JobOperation {
    /// Parses `/<region>/model-invocation-job[/<id, percent-encoded>[/stop]]` or
    /// `/<region>/model-invocation-jobs?nameContains=<name>`.
    pub fn parse(method: &str, path: &str) -> Option<Self> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let name = query.split('&').find_map(|pair| pair.strip_prefix("nameContains="));
        let (region, wanted) = match (method, &parts[..]) {
            ("POST", [region, "model-invocation-job"]) => (region, Wanted::Create),
            ("GET", [region, "model-invocation-jobs"]) => {
                (region, Wanted::List(percent_decode(name.unwrap_or_default())))
            }
            ("GET", [region, "model-invocation-job", id]) => {
                (region, Wanted::Get(percent_decode(id)))
            }
            ("POST", [region, "model-invocation-job", id, "stop"]) => {
                (region, Wanted::Stop(percent_decode(id)))
            }
            _ => return None,
        };
        Some(Self { region: (*region).to_owned(), wanted })
    }
}

/// Decodes percent-encoded text. A `%` that does not begin an escape stays unchanged.
pub fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%').then(|| after.get(..2)).flatten();
        let byte = escaped
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inference_profile_and_an_arn_are_decoded() {
        let operation = Operation::parse(
            "/eu-central-1/model/eu.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse-stream",
        );
        assert_eq!(
            operation,
            Some(Operation {
                region: "eu-central-1".into(),
                model_id: "eu.anthropic.claude-haiku-4-5-20251001-v1:0".into(),
                stream: true,
            })
        );
        let arn =
            "/us-east-1/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse";
        assert_eq!(
            Operation::parse(arn).map(|o| (o.model_id, o.stream)),
            Some(("arn:aws:bedrock:us-east-1:1:inference-profile/x".into(), false))
        );
    }

    #[test]
    fn any_other_path_is_not_an_operation() {
        for path in [
            "/model/m/converse",
            "/us-east-1/model/m/invoke",
            "/us-east-1/model/m/converse/x",
            "/us-east-1/models/m/converse",
        ] {
            assert_eq!(Operation::parse(path), None, "{path}");
        }
    }

    #[test]
    fn a_job_is_identified_by_its_arn() {
        let arn = "arn:aws:bedrock:us-east-1:000000000000:model-invocation-job/job000000001";
        let sent = arn.replace(':', "%3A").replace('/', "%2F");
        let wanted = |method: &str, path: &str| {
            JobOperation::parse(method, path).map(|operation| operation.wanted)
        };
        let path = format!("/us-east-1/model-invocation-job/{sent}");
        assert_eq!(wanted("GET", &path), Some(Wanted::Get(arn.into())));
        assert_eq!(wanted("POST", &format!("{path}/stop")), Some(Wanted::Stop(arn.into())));
        assert_eq!(wanted("POST", "/us-east-1/model-invocation-job"), Some(Wanted::Create));
        let listed = "/us-east-1/model-invocation-jobs?maxResults=5&nameContains=a%2Db";
        assert_eq!(wanted("GET", listed), Some(Wanted::List("a-b".into())));
        assert_eq!(wanted("POST", "/us-east-1/model-invocation-jobs"), None);
    }

    #[test]
    fn a_stray_percent_sign_is_kept() {
        assert_eq!(percent_decode("100%25 of 5% is %zz %"), "100% of 5% is %zz %");
    }
}
