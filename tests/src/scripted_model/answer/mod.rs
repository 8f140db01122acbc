//! Computes answers from the prompt, so that a reader can check an answer against the input.
//!
//! - [`review`]: answers to the steps of the workflow `code-review`
//! - [`schema`]: instances of any JSON schema
//! - any other step is answered with the number of words in the prompt

mod review;
mod schema;

pub use review::count_findings;

use super::prompt::{Prompt, words};

const QUOTED_WORDS: usize = 12;

/// Returns the answer to a prompt.
///
/// # Errors
/// A sentence for the caller.
pub fn to(prompt: &Prompt) -> Result<String, String> {
    let step = prompt.caller.step.as_deref().unwrap_or_default();
    let reviews = prompt.caller.workflow.as_deref() == Some("code-review");
    if let Some(schema) = &prompt.schema {
        let instance =
            if reviews { review::verdict(&prompt.user, schema) } else { schema::minimal(schema) };
        return instance.map(|instance| instance.to_string());
    }
    let reviewed = reviews.then(|| review::answer(step, &prompt.user)).flatten();
    Ok(reviewed.unwrap_or_else(|| echo(&prompt.user)))
}

fn echo(text: &str) -> String {
    let count = words(text);
    let first: Vec<&str> = text.split_whitespace().take(QUOTED_WORDS).collect();
    let (quoted, more) = (first.join(" "), if count > QUOTED_WORDS { "…" } else { "" });
    format!("[scripted model] {count} words received: \"{quoted}{more}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted_model::prompt::tests::{body, with_schema};
    use serde_json::{Value, json};

    fn answer(body: &Value) -> String {
        to(&Prompt::parse(body.to_string().as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn an_unknown_step_gets_the_count_of_its_words() {
        let long = "one two three four five six seven eight nine ten eleven twelve thirteen";
        assert_eq!(
            answer(&body("explain", "answer", long)),
            "[scripted model] 13 words received: \"one two three four five six seven eight nine ten eleven twelve…\""
        );
        assert_eq!(
            answer(&json!({ "messages": [{ "role": "user", "content": [{ "text": "hi" }] }] })),
            "[scripted model] 1 words received: \"hi\""
        );
    }

    #[test]
    fn a_schema_binds_the_answer_of_any_workflow() {
        let schema = json!({ "type": "object", "required": ["n"], "properties": { "n": { "type": "integer" } } });
        assert_eq!(answer(&with_schema(body("explain", "answer", "x"), &schema)), r#"{"n":0}"#);
        assert_eq!(
            answer(&with_schema(body("code-review", "verdict", "x"), &schema)),
            r#"{"n":0}"#
        );
    }
}
