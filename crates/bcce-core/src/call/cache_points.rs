//! The blocks of a call's prompt: its texts, and the cache points after its cached prefixes.

use crate::document::prompt::Prompt;

/// A block of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block<'a> {
    Text(&'a str),
    /// The service caches everything before this block.
    CachePoint,
}

/// The blocks of the system prompt and of the user message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks<'a> {
    pub system: Vec<Block<'a>>,
    pub user: Vec<Block<'a>>,
}

impl<'a> Blocks<'a> {
    /// Returns the blocks of `prompt`. They have no cache points if `is_cached` is false.
    pub fn of(prompt: &'a Prompt, is_cached: bool) -> Self {
        let ends = |ends: &'a [usize]| if is_cached { ends } else { &[] };
        let system = prompt.system.iter().flat_map(|text| split(text, ends(&prompt.system_ends)));
        let data_rule = prompt.data_rule.as_deref().map(Block::Text);
        let user = split(&prompt.user, ends(&prompt.user_ends));
        Self { system: system.chain(data_rule).collect(), user }
    }

    /// Returns the bytes of the longest prefix that is cached.
    pub fn prefix_bytes(&self) -> usize {
        let all: Vec<&Block<'_>> = self.system.iter().chain(&self.user).collect();
        let last = all.iter().rposition(|block| **block == Block::CachePoint);
        let texts = all[..last.unwrap_or_default()].iter().map(|block| match block {
            Block::Text(text) => text.len(),
            Block::CachePoint => 0,
        });
        texts.sum()
    }
}

/// Splits `text` at `ends`, with a cache point at each of them.
fn split<'a>(text: &'a str, ends: &[usize]) -> Vec<Block<'a>> {
    let mut blocks = Vec::new();
    let mut from = 0;
    for end in ends {
        blocks.extend([Block::Text(&text[from..*end]), Block::CachePoint]);
        from = *end;
    }
    if from < text.len() {
        blocks.push(Block::Text(&text[from..]));
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::Block::{CachePoint, Text};
    use super::*;

    fn prompt() -> Prompt {
        Prompt {
            system: Some("sys".into()),
            data_rule: Some("rule".into()),
            user: "one two".into(),
            system_ends: vec![3],
            user_ends: vec![4],
        }
    }

    #[test]
    fn a_point_follows_each_prefix_and_precedes_the_data_rule() {
        let prompt = prompt();
        let blocks = Blocks::of(&prompt, true);
        assert_eq!(blocks.system, [Text("sys"), CachePoint, Text("rule")]);
        assert_eq!(blocks.user, [Text("one "), CachePoint, Text("two")]);
        assert_eq!(blocks.prefix_bytes(), "sysruleone ".len());
    }

    #[test]
    fn a_prefix_may_end_inside_the_system_prompt() {
        let prompt = Prompt { system_ends: vec![1], user_ends: vec![], ..prompt() };
        let blocks = Blocks::of(&prompt, true);
        assert_eq!(blocks.system, [Text("s"), CachePoint, Text("ys"), Text("rule")]);
        assert_eq!(blocks.prefix_bytes(), 1);
    }

    #[test]
    fn a_call_without_a_cache_has_whole_texts_and_no_points() {
        let prompt = Prompt { user_ends: vec![7], ..prompt() };
        let blocks = Blocks::of(&prompt, false);
        assert_eq!((blocks.prefix_bytes(), blocks.user), (0, vec![Text("one two")]));
        assert_eq!(blocks.system, [Text("sys"), Text("rule")]);
        let whole = Blocks::of(&prompt, true);
        assert_eq!(whole.user, [Text("one two"), CachePoint]);
    }
}
