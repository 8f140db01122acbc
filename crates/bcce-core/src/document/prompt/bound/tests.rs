use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::document::prompt::{Templates, render};

fn size(value: &Value) -> Size {
    let bytes = serde_json::to_string_pretty(value).unwrap().len() as u64;
    let items = match value {
        Value::Array(list) => list.len() as u64,
        Value::Object(map) => map.len() as u64,
        _ => bytes,
    };
    Size { bytes, items, kind: Kind::Data }
}

/// Computes the bound of a template. The size of an input is exact; of a step's answer only the length is known.
fn bound(source: &str, context: &Value) -> u64 {
    most_bytes(source, &|path| match path {
        ["steps", id, ..] => match &context["steps"][*id] {
            Value::String(text) => Size::of(text.len() as u64, Kind::Text),
            Value::Array(list) if list.iter().all(Value::is_string) => {
                let bytes = list.iter().map(|text| text.as_str().unwrap().len() as u64 + 8).sum();
                Size::of(bytes, Kind::Text)
            }
            other => Size::of(other.to_string().len() as u64, Kind::Json),
        },
        path => {
            let found = path.iter().fold(context, |value, name| &value[*name]);
            size(found)
        }
    })
}

const TEMPLATES: [&str; 22] = [
    "Explain {{ inputs.text }} to {{ inputs['text'] }}.",
    "{% for file in inputs.files %}{{ file.path }}: {{ steps.page[loop.index0] }}\n{% endfor %}",
    "{% for file in inputs.files %}{{ inputs.text }}{{ file }}{{ file.text | tojson }}{% endfor %}",
    "{% for file in inputs.files %}{{ steps.hunt[loop.index0].bugs | tojson }}{% endfor %}",
    "{% for one in inputs.files %}{% for other in inputs.files %}{{ one.path }}{{ other }}{% endfor %}{% endfor %}",
    "{% for file in inputs.files %}{% for name, value in file | items %}{{ name }}{{ value }}{{ inputs.text }}{% endfor %}{% endfor %}",
    "{% for line in inputs.text | lines %}{{ loop.index }}: {{ line }}{% else %}{{ inputs }}{% endfor %}",
    "{% if inputs.text %}{{ inputs.text }}{% else %}nothing at all, which is longer than nothing{% endif %}",
    "{% for file in inputs.files %}{% if loop.first %}{{ file }}{% else %}{{ steps.page[loop.index0] }}{% endif %}{% endfor %}",
    "{% set twice = inputs.text ~ inputs.text %}{{ twice ~ twice }}",
    "{% set x %}{{ inputs.text }} and {{ inputs.files }}{% endset %}{{ x }}{{ x }}",
    "{% for file in inputs.files %}{% set x %}{{ file }}{% endset %}{{ x }}{{ x | tojson }}{% endfor %}",
    "{% with a = inputs.text, b = inputs.files %}{{ a }}{{ b | last }}{{ b | length }}{% endwith %}",
    "{{ inputs.text | replace('a', 'bbb') }}{{ inputs.text | upper }}{{ inputs.text | indent(4) }}",
    "{{ steps.page | join(', ') }}{{ steps.page }}{{ steps.page | tojson }}",
    "{{ steps.hunt }}{{ steps.hunt | tojson }}{{ steps.hunt | first }}",
    "{{ inputs.text | lines }}{{ inputs | items }}{{ inputs | tojson | tojson }}",
    "{{ (inputs.text if inputs.files else inputs) | default('none') }}",
    "{% filter upper %}{{ inputs.text }}{% endfilter %}",
    "{{ inputs.text | replace(inputs.text, steps.page) }}{{ 1 + 2 }}{{ inputs.text == 'x' }}",
    "{% for list in inputs.lists %}{% for text in list %}{{ text }}{{ inputs.text }}{% endfor %}{% endfor %}",
    "{% for name in inputs %}{{ name }}{{ inputs }}{% endfor %}",
];

fn context(texts: &[String]) -> Value {
    let files: Vec<Value> =
        texts.iter().map(|text| json!({ "path": "a/b.rs", "text": text })).collect();
    let bugs: Vec<Value> = texts.iter().map(|text| json!({ "bugs": [text, 1, true] })).collect();
    let text = texts.concat();
    json!({ "inputs": { "text": text, "files": files, "lists": [texts, [], texts] }, "steps": { "page": texts, "hunt": bugs } })
}

proptest! {
    #[test]
    fn no_prompt_is_longer_than_its_bound(
        texts in proptest::collection::vec("[a-cßŉΐ \n\"\u{1}</>é☃]{0,40}", 0..6)
    ) {
        let context = context(&texts);
        for source in TEMPLATES {
            // A template that cannot be rendered over this context has no length.
            let Ok(prompt) = render(&Templates { user: source, ..Templates::default() }, &context) else { continue };
            let (long, most) = (prompt.user.len() as u64, bound(source, &context));
            prop_assert!(long <= most, "{source} renders to {long} bytes, at most {most}");
        }
    }
}

#[test]
fn a_loop_over_a_list_is_as_long_as_the_list_and_not_its_square() {
    let texts = vec!["x".repeat(1_000); 20];
    let context = context(&texts);
    let of_the_list = bound(TEMPLATES[1], &context);
    assert!((20_000..70_000).contains(&of_the_list), "{of_the_list}");
    let of_the_square = bound(TEMPLATES[4], &context);
    assert!(of_the_square >= 20 * 20_000, "{of_the_square}");
}

#[test]
fn what_grows_by_data_has_the_bound_of_every_prompt() {
    let context = context(&["x".to_owned()]);
    assert_eq!(bound("{{ inputs.text | replace(inputs.text, inputs.text) }}", &context), MOST);
    assert_eq!(bound("{{ oops", &context), MOST);
    let doubled =
        "{% set x = inputs.text %}".to_owned() + &"{% set x = x ~ x %}".repeat(40) + "{{ x }}";
    assert_eq!(bound(&doubled, &context), MOST);
}
