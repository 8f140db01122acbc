//! Converts `--map INPUT=EXPR` and `--item-id EXPR` into the templates of a request.

/// Parses `INPUT=EXPR` into the name of the input and its template.
pub fn pair(given: &str) -> Result<(String, String), String> {
    match given.split_once('=') {
        Some((name, expression)) if !name.is_empty() => Ok((name.to_owned(), value(expression))),
        _ => Err("must be INPUT=EXPR".into()),
    }
}

/// Parses `EXPR` into the template of an item's id.
pub fn id(given: &str) -> Result<String, String> {
    Ok(value(given))
}

/// Returns the template of an expression. Text with `{{ }}` is already a template, an expression is put into `{{ }}`,
/// and a bare name becomes a field of the item.
fn value(expression: &str) -> String {
    let expression = expression.trim();
    let is_expression = expression == "item" || expression.contains(['.', '[', '(']);
    if expression.contains("{{") {
        expression.to_owned()
    } else if is_expression {
        format!("{{{{ {expression} }}}}")
    } else {
        format!("{{{{ item[{}] }}}}", serde_json::Value::from(expression))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bcce_core::document::expression::Context;
    use serde_json::json;

    #[test]
    fn a_name_is_a_field_and_an_expression_is_filled_in() {
        let table = [
            ("text=Body", r#"{{ item["Body"] }}"#),
            ("text=Long text", r#"{{ item["Long text"] }}"#),
            ("text=item.a.b", "{{ item.a.b }}"),
            ("text=item['a.b']", "{{ item['a.b'] }}"),
            ("text=item", "{{ item }}"),
            ("text=Dear {{ item.name }}", "Dear {{ item.name }}"),
            ("n= nr ", r#"{{ item["nr"] }}"#),
        ];
        for (given, expected) in table {
            assert_eq!(pair(given).unwrap().1, expected, "{given}");
        }
        assert!(pair("text").is_err() && pair("=text").is_err());
        assert_eq!(id("nr").unwrap(), r#"{{ item["nr"] }}"#);
    }

    #[test]
    fn a_name_with_quotes_is_one_too() {
        let item = json!({ "say \"hi\" \\ there": 7 });
        let value = Context::of_item(&item).text(&value("say \"hi\" \\ there"));
        assert_eq!(value, Ok("7".into()));
    }
}
