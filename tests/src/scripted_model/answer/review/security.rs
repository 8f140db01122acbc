//! Finds security risks in added lines of all files but prose.

use super::diff::Diff;
use super::finding::{Finding, Severity};
use super::source::{has_word, is_prose, is_rust, is_silent, without_strings};

/// A rule: a test for the line and its path, the severity, and the message. The message never quotes the line, which
/// may contain a secret.
type Rule = (fn(&str, &str) -> bool, Severity, &'static str);

const RULES: &[Rule] = &[
    (|line, _| holds_secret(line), Severity::High, "looks like a secret"),
    (|line, _| grants_everything(line), Severity::High, "grants `*`"),
    (|line, _| runs_a_shell(line), Severity::High, "runs a shell or evaluates text"),
    (is_unsafe, Severity::Medium, "`unsafe` needs a reason"),
    (
        |line, _| is_plain_http(line),
        Severity::Medium,
        "`http://` can be read and changed in transit",
    ),
];

/// Returns the findings about security.
pub fn findings(diff: &Diff) -> Vec<Finding> {
    let spoken = diff
        .added()
        .filter(|(file, line)| !is_prose(&file.path) && !is_silent(&file.path, &line.text));
    let found = spoken.flat_map(|(file, line)| {
        let broken = RULES.iter().filter(|(applies, ..)| applies(&line.text, &file.path));
        broken.map(|(_, severity, why)| Finding::new("security", *severity, file, line, why))
    });
    found.collect()
}

fn holds_secret(line: &str) -> bool {
    let prefixes = ["AKIA", "ghp_", "github_pat_", "xoxb-", "sk-ant-", "whsec_"];
    let after = |prefix: &str| line.find(prefix).map(|at| &line[at + prefix.len()..]);
    let long = |rest: &str| rest.chars().take_while(char::is_ascii_alphanumeric).count() >= 16;
    let token = prefixes.iter().any(|prefix| after(prefix).is_some_and(long));
    let private_key = line.contains("-----BEGIN") && line.contains("PRIVATE KEY");
    token || private_key || is_assigned(line)
}

/// Returns true if the line assigns a literal to the name of a secret, such as `password = "…"`. The literal has at
/// least eight characters and no blanks.
fn is_assigned(line: &str) -> bool {
    let Some((name, value)) = line.split_once(['=', ':']) else {
        return false;
    };
    let name = name.to_ascii_lowercase();
    let secret = ["password", "passwd", "secret", "token", "api_key", "apikey", "private_key"];
    let value = value.trim().trim_end_matches([',', ';']);
    let literal = ['"', '\''].into_iter().find_map(|quote| {
        value.strip_prefix(quote)?.strip_suffix(quote).filter(|inside| !inside.contains(quote))
    });
    let random = |text: &str| text.len() >= 8 && !text.contains([' ', '{', '$', '<', '/', ':']);
    secret.iter().any(|word| name.contains(word)) && literal.is_some_and(random)
}

/// Returns true if the line belongs to an IAM statement that grants everything: `Action: "*"`, `Resource: '*'`,
/// `"Action": "s3:*"`, `Principal: "*"`.
fn grants_everything(line: &str) -> bool {
    let Some((key, value)) = line.split_once(':') else {
        return false;
    };
    let key = key.trim().trim_start_matches("- ").trim_matches(['"', '\'']);
    let value = value.trim().trim_end_matches(',').trim_matches(['"', '\'', '[', ']', ' ']);
    ["Action", "Resource", "Principal", "AWS"].contains(&key)
        && (value == "*" || (key == "Action" && value.ends_with(":*")))
}

fn runs_a_shell(line: &str) -> bool {
    let calls = [
        "os.system(",
        "shell=True",
        "child_process",
        "sh -c",
        "Command::new(\"sh\")",
        "Command::new(\"bash\")",
    ];
    let piped = ["| sh", "| bash"].iter().any(|pipe| line.trim_end().ends_with(pipe));
    let evaluates = line.contains("eval(") && has_word(line, "eval");
    piped || evaluates || calls.iter().any(|call| line.contains(call))
}

fn is_unsafe(line: &str, path: &str) -> bool {
    is_rust(path) && has_word(&without_strings(line), "unsafe")
}

fn is_plain_http(line: &str) -> bool {
    let hosts = line.match_indices("http://").map(|(at, scheme)| &line[at + scheme.len()..]);
    let local = ["localhost", "127.0.0.1", "0.0.0.0", "[::1]"];
    // The names of XML schemas and placeholders are not addresses.
    let name =
        |host: &str| host.starts_with("www.w3.org") || !host.starts_with(char::is_alphanumeric);
    hosts.into_iter().any(|host| !name(host) && !local.iter().any(|here| host.starts_with(here)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted_model::answer::review::tests::SMALL;

    #[test]
    fn reports_the_grant_the_shell_the_address_and_the_secret_without_quoting_it() {
        let found: Vec<String> =
            findings(&Diff::parse(SMALL)).iter().map(Finding::to_string).collect();
        assert_eq!(
            found,
            [
                "[security/high] infra/role.yaml:4: grants `*`",
                "[security/high] release.sh:5: runs a shell or evaluates text",
                "[security/medium] release.sh:5: `http://` can be read and changed in transit",
                "[security/high] settings.py:1: looks like a secret",
            ]
        );
    }

    #[test]
    fn secrets_are_found_by_their_names_and_places() {
        for secret in [
            "key: AKIAIOSFODNN7EXAMPLE",
            "ghp_0123456789abcdef",
            "-----BEGIN RSA PRIVATE KEY-----",
            "let password = \"correcthorse\";",
            "\"api_key\": \"0123456789\",",
        ] {
            assert!(holds_secret(secret), "{secret}");
        }
        for fine in [
            "let token = read(\"TOKEN_FILE\");",
            "password: \"${DB_PASSWORD}\"",
            "token = \"short\"",
            "max_tokens: 400",
            "secret: 'see /secrets/webhook'",
        ] {
            assert!(!holds_secret(fine), "{fine}");
        }
    }

    #[test]
    fn grants_and_addresses_that_are_bounded_pass() {
        assert!(grants_everything("        \"Resource\": \"*\","));
        assert!(grants_everything("- Action: ['s3:*']"));
        assert!(!grants_everything("Resource: !Sub ${Bucket.Arn}/*"));
        assert!(!grants_everything("Comment: all of them: *"));
        assert!(is_plain_http("get(\"http://example.com\")"));
        assert!(!is_plain_http("http://127.0.0.1:4566 http://www.w3.org/2000/svg http://{host}"));
        assert!(is_unsafe("unsafe { go() }", "a.rs") && !is_unsafe("unsafe_code = 1", "a.rs"));
    }
}
