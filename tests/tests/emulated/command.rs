//! `bcce config` and `bcce submit`, called as a script calls them. Each test of `bcce config` has its own environment,
//! which shares only the bucket with the others.

use std::path::{Path, PathBuf};

use aws_sdk_ssm::types::ParameterType;
use bcce_tests::harness::cli::{ROOT, bcce};
use bcce_tests::harness::stack::{RunRef, Stack, all_calls, calls, create_profile, fresh, output};
use serde_json::{Value, json};

/// Makes a directory with the configuration of this repository and one workflow. The workflow has the unique name
/// `name`, so that no other test stores objects below it.
fn configuration(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(directory.join("workflows")).unwrap();
    let given = Path::new(ROOT).join("infra/config/dev");
    for file in ["models.yaml", "policy.yaml", "prices.yaml", "routing.yaml"] {
        std::fs::copy(given.join(file), directory.join(file)).unwrap();
    }
    let explain = std::fs::read_to_string(given.join("workflows/explain.yaml")).unwrap();
    let own = explain.replace("name: explain", &format!("name: {name}"));
    std::fs::write(directory.join(format!("workflows/{name}.yaml")), own).unwrap();
    directory
}

async fn put_parameter(stack: &Stack, name: &str, value: &str) {
    let put = stack.ssm.put_parameter().name(name).value(value).r#type(ParameterType::String);
    put.overwrite(true).send().await.unwrap();
}

async fn parameter(stack: &Stack, name: &str) -> String {
    let got = stack.ssm.get_parameter().name(name).send().await.unwrap();
    got.parameter.unwrap().value.unwrap()
}

/// `bcce config push` makes the changes that `bcce config diff` lists. It also repairs a document whose object is
/// missing, replaces an invalid one, and leaves a workflow that the directory does not have. Invalid files are refused.
#[tokio::test]
async fn a_push_makes_the_changes_of_the_diff_and_repairs_broken_documents() {
    let stack = Stack::connect().await;
    let name = fresh("moved");
    let of_dev = parameter(&stack, "/bcce/dev/stack").await;
    put_parameter(&stack, &format!("/bcce/{name}/stack"), &of_dev).await;
    let directory = configuration(&name);
    let config = |verb: &str| bcce(&name, &["config", verb, directory.to_str().unwrap()]);
    let check = |verb: &str, exit: i32, parts: &[&str]| {
        let (code, text) = config(verb);
        assert_eq!(code, exit, "{verb}: {text}");
        for part in parts {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    };
    let workflow = format!("/bcce/{name}/workflows/{name}");

    check("diff", 1, &["unchanged  0 documents", &format!("new        {workflow}"), "5 documents"]);
    let profiles = format!("/bcce/{name}/profiles, 12 profiles");
    let new = [
        format!("new        {workflow} -> config/workflows/{name}/"),
        format!("new        {profiles}"),
    ];
    check("push", 0, &new.each_ref().map(String::as_str));
    check("diff", 0, &["unchanged  5 documents"]);

    let routing = directory.join("routing.yaml");
    let text = std::fs::read_to_string(&routing).unwrap();
    std::fs::write(&routing, text.replace("attempts: 8", "attempts: 6")).unwrap();
    check("diff", 1, &["changed    /bcce/", "\n-attempts: 8\n+attempts: 6\n"]);

    let pointer: serde_json::Value =
        serde_json::from_str(&parameter(&stack, &workflow).await).unwrap();
    let key = pointer["uri"].as_str().unwrap().split('/').skip(3).collect::<Vec<_>>().join("/");
    stack.s3.delete_object().bucket(output("ArtifactBucket")).key(key).send().await.unwrap();
    put_parameter(&stack, &format!("/bcce/{name}/policy"), "version: one\n").await;
    put_parameter(&stack, &format!("/bcce/{name}/workflows/other"), r#"{"uri": "s3://x"}"#).await;
    #[rustfmt::skip]
    check("diff", 1, &[&format!("broken     {workflow}: uri: there is no config/"), "policy: version: must be a whole number", "/workflows/other, which is not in"]);
    check(
        "push",
        0,
        &[
            "changed    ",
            &format!("repaired   {workflow}"),
            &format!("unchanged  {profiles}"),
            "left       ",
        ],
    );
    check("diff", 0, &["unchanged  5 documents", "left       "]);

    std::fs::write(directory.join("prices.yaml"), b"\xff").unwrap();
    std::fs::remove_file(directory.join("models.yaml")).unwrap();
    let wrong = ["prices.yaml: document: is not UTF-8", "models.yaml: document: is missing"];
    check("diff", 2, &wrong);
    check("push", 2, &wrong);
    check("validate", 1, &wrong);
    std::fs::remove_dir_all(directory).unwrap();
}

/// A push resolves the ARN of an application inference profile. It refuses an ARN that Bedrock does not know, and writes
/// nothing then.
#[tokio::test]
async fn a_push_resolves_application_inference_profiles_or_writes_nothing() {
    let stack = Stack::connect().await;
    let name = fresh("profiles");
    let of_dev = parameter(&stack, "/bcce/dev/stack").await;
    put_parameter(&stack, &format!("/bcce/{name}/stack"), &of_dev).await;
    let directory = configuration(&name);
    let models = std::fs::read_to_string(directory.join("models.yaml")).unwrap();
    let push = |id: &str| {
        let first = "model_id: us.anthropic.claude-haiku-5-5";
        let own = models.replacen(first, &format!("model_id: \"{id}\""), 1);
        std::fs::write(directory.join("models.yaml"), own).unwrap();
        bcce(&name, &["config", "push", directory.to_str().unwrap()])
    };
    let known = create_profile("us-east-1", "us.anthropic.claude-haiku-5-5");
    let unknown = known.replace("profile/", "profile/none");

    let (code, text) = push(&unknown);
    let cause = format!(
        "models.yaml: models.haiku.targets[0]: {unknown} in us-east-1 cannot be called: Bedrock does not describe it in us-east-1: The inference profile {unknown} was not found."
    );
    assert!(code == 2 && text.contains(&cause), "{code} {text}");
    let written = stack.ssm.get_parameters_by_path().path(format!("/bcce/{name}"));
    let written = written.send().await.unwrap().parameters.unwrap();
    assert_eq!(written.len(), 1, "only the stack: {written:?}");

    let (code, text) = push(&known);
    assert_eq!(code, 0, "{text}");
    let document: Value =
        serde_json::from_str(&parameter(&stack, &format!("/bcce/{name}/profiles")).await).unwrap();
    let profiles = document["profiles"].as_array().unwrap();
    let found = profiles.iter().find(|profile| profile["id"] == known.as_str()).unwrap();
    let expected = json!({
        "region": "us-east-1", "id": known, "model": "anthropic.claude-haiku-5-5",
        "regions": ["us-east-1", "us-east-2", "us-west-2"],
    });
    assert_eq!(*found, expected);

    // The descriptions of profiles that are no longer named are removed.
    let (code, text) = push("us.anthropic.claude-haiku-5-5");
    assert!(code == 0 && text.contains("changed    "), "{text}");
    assert!(!parameter(&stack, &format!("/bcce/{name}/profiles")).await.contains(&known));
    std::fs::remove_dir_all(directory).unwrap();
}

/// `bcce config push --warm` calls each target once for each schema, with few tokens. Without `--warm` no model is
/// called.
#[tokio::test]
async fn a_push_compiles_schemas_only_with_the_option_warm() {
    let stack = Stack::connect().await;
    let name = fresh("warmed");
    let of_dev = parameter(&stack, "/bcce/dev/stack").await;
    put_parameter(&stack, &format!("/bcce/{name}/stack"), &of_dev).await;
    let directory = configuration(&name);
    let workflow = format!(
        r#"
version: 1
name: {name}
steps:
  - id: answer
    model: haiku
    prompt: Say yes.
    output:
      type: json
      schema: {{ title: {name}, type: object, required: [ok], properties: {{ ok: {{ type: boolean }} }} }}
"#
    );
    std::fs::write(directory.join(format!("workflows/{name}.yaml")), workflow).unwrap();
    let push = |more: &[&str]| {
        bcce(&name, &[&["config", "push", directory.to_str().unwrap()], more].concat())
    };
    let seen = || {
        let all = all_calls().into_iter();
        all.filter(|call| call["workflow"] == name.as_str()).collect::<Vec<_>>()
    };
    let (code, text) = push(&[]);
    assert_eq!((code, seen().len()), (0, 0), "{text}");
    let (code, text) = push(&["--warm"]);
    assert_eq!(code, 0, "{text}");
    for model in ["us.anthropic.claude-haiku-5-5", "us.anthropic.claude-haiku-4-5-20251001-v1:0"] {
        for region in ["us-east-1", "us-west-2"] {
            let line = format!("compiled   schema of {name}.answer on {model} in {region}");
            assert!(text.contains(&line), "{line} is missing in {text}");
        }
    }
    let seen = seen();
    assert_eq!(seen.len(), 4, "each schema is sent once to each target");
    let is_short = |call: &serde_json::Value| {
        let request = &call["request"];
        request["inferenceConfig"]["maxTokens"] == 64
            && request["outputConfig"]["textFormat"].is_object()
    };
    assert!(seen.iter().all(is_short), "{seen:?}");
    std::fs::remove_dir_all(directory).unwrap();
}

/// `bcce submit --files` sends the files in the order of the arguments. A file that is missing or not UTF-8 is refused
/// with its name.
#[tokio::test]
async fn files_are_sent_as_a_list_with_their_paths() {
    let stack = Stack::connect().await;
    let name = fresh("files");
    let workflow = format!(
        r#"
version: 1
name: {name}
inputs:
  code: {{ type: list, required: true }}
steps:
  - id: read
    model: haiku
    prompt: "{{% for file in inputs.code %}}{{{{ file.path }}}} {{{{ file.text }}}}{{% endfor %}}"
"#
    );
    stack.put_workflow(&name, &workflow).await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
    std::fs::create_dir_all(&folder).unwrap();
    let file = |file: &str, text: &[u8]| {
        let path = folder.join(file);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (b, a) = (file("b.rs", b"fn b() {}"), file("a.rs", b"fn a() {}"));
    let submit = |files: &[&str]| {
        let args = [&["submit", &name, "--id", "1", "--wait", "--files", "code"], files].concat();
        bcce("dev", &args)
    };
    let (code, text) = submit(&[&b, &a]);
    assert_eq!(code, 0, "{text}");
    let run = RunRef::first("default", &name, "1");
    let request: serde_json::Value =
        serde_json::from_slice(&stack.object(&run.request_key()).await.unwrap()).unwrap();
    let expected = json!([{ "path": b, "text": "fn b() {}" }, { "path": a, "text": "fn a() {}" }]);
    assert!(request.to_string().contains(&expected.to_string()), "{request}");
    assert_eq!(calls(&run).len(), 1);

    let binary = file("binary.rs", b"\xff");
    let (code, text) = submit(&[&a, &binary, "gone.rs"]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("binary.rs is not UTF-8") && text.contains("gone.rs cannot be read"));
    std::fs::remove_dir_all(folder).unwrap();
}

/// A dry run has the same figures for a run as for a batch of one item, and sends nothing.
#[tokio::test]
async fn a_dry_run_shows_the_plan_and_sends_nothing() {
    let stack = Stack::connect().await;
    let (id, text) = (fresh("dry"), "A breaker opens on evidence.");
    let submit = |args: &[&str]| {
        let input = format!("text={text}");
        let common = ["submit", "explain", "--id", &id, "-i", &input];
        let (code, text) = bcce("dev", &[&common[..], args].concat());
        assert_eq!(code, 0, "{text}");
        text
    };
    let shown: Value = serde_json::from_str(&submit(&["--dry-run", "--json"])).unwrap();
    let step = &shown["steps"][0];
    assert_eq!((&step["id"], &step["model"]), (&json!("answer"), &json!("haiku")));
    assert_eq!(step["decision"]["targets"][0]["region"], "us-east-1");
    let line = json!({ "text": text }).to_string();
    let source = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{id}.jsonl"));
    std::fs::write(&source, line).unwrap();
    let batch = ["batch", "submit", "explain", source.to_str().unwrap(), "--dry-run", "--json"];
    let (code, batch) = bcce("dev", &batch);
    assert_eq!(code, 0, "{batch}");
    let batch: Value = serde_json::from_str(&batch).unwrap();
    for figure in
        ["calls", "input_tokens_least", "output_tokens_most", "cost_least_usd", "cost_most_usd"]
    {
        assert_eq!(shown["estimate"][figure], batch["estimate"][figure], "{figure}");
    }
    assert_eq!(shown["worst_case"]["usd"], batch["worst_case"]["usd"]);
    let page = submit(&["--dry-run"]);
    for part in [
        "explain would execute 1 step in 1 wave",
        "  1. us.anthropic.claude-haiku-5-5 in us-east-1: first",
        "(limit of budgets.one-run: $5.00)",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    let run = RunRef::first("default", "explain", &id);
    assert_eq!(stack.object(&run.request_key()).await, None, "the request was sent");
    submit(&[]);
    stack.manifest(&run).await;
    assert!(submit(&["--dry-run"]).contains("This request was sent before."));
    assert_eq!(calls(&run).len(), 1);
}
