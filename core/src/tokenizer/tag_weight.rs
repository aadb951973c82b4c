//! Tags that count more than other tokens of an answer.

use serde::{Deserialize, Serialize};

use crate::text::Tags;

/// The tags of answers that think first, and how much more their tokens count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagWeight {
    /// The tags.
    pub tags: Tags,
    /// What the weight of a tag's token is multiplied by.
    pub factor: f32,
}

impl TagWeight {
    /// Multiplies the weights of the tokens that make up a tag, wherever one stands as a whole in the text: all that hold
    /// a byte of it, so also a token that holds the last of a tag and what follows. `offsets` are the tokens' places in
    /// the text in bytes, in order. Tokens that are no targets stay so.
    pub(super) fn apply(&self, text: &str, offsets: &[(usize, usize)], weights: &mut [f32]) {
        let all = self.tags.all().into_iter();
        let places = all.flat_map(|tag| text.match_indices(tag).map(|(at, tag)| at..at + tag.len()));
        let mut tags: Vec<_> = places.collect();
        tags.sort_unstable_by_key(|place| place.start);
        let mut tags = tags.into_iter().peekable();
        for (&(start, end), weight) in offsets.iter().zip(weights) {
            while tags.next_if(|tag| tag.end <= start).is_some() {}
            if tags.peek().is_some_and(|tag| tag.start < end) {
                *weight *= self.factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighed(text: &str, tokens: &[&str], weights: &[f32]) -> Vec<f32> {
        assert_eq!(tokens.concat(), text);
        let mut at = 0;
        let offsets: Vec<(usize, usize)> = tokens
            .iter()
            .map(|token| {
                at += token.len();
                (at - token.len(), at)
            })
            .collect();
        let mut weights = weights.to_vec();
        TagWeight { tags: Tags::default(), factor: 10.0 }.apply(text, &offsets, &mut weights);
        weights
    }

    #[test]
    fn every_token_of_a_tag_counts_more_whether_it_is_one_or_several() {
        let text = "q<think>a</think><answer>7</answer>";
        let tokens = ["q", "<think>", "a", "</think", ">", "<", "answer", ">", "7", "</answer>"];
        let weights = weighed(text, &tokens, &[0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(weights, [0.0, 10.0, 1.0, 10.0, 10.0, 10.0, 10.0, 10.0, 1.0, 10.0]);
    }

    #[test]
    fn a_token_that_holds_a_part_of_a_tag_and_other_text_is_the_tags() {
        let tokens = ["x<", "think", ">\n", "a", "\n</", "think>\n<", "answer", ">", "7"];
        let weights = weighed("x<think>\na\n</think>\n<answer>7", &tokens, &[0.5; 9]);
        assert_eq!(weights, [5.0, 5.0, 5.0, 0.5, 5.0, 5.0, 5.0, 5.0, 0.5]);
    }

    #[test]
    fn parts_of_a_tag_and_tags_that_are_no_targets_count_as_they_are() {
        assert_eq!(weighed("<think", &["<think"], &[1.0]), [1.0]);
        assert_eq!(weighed("think> answer", &["think", "> answer"], &[1.0; 2]), [1.0; 2]);
        let tokens = ["<think>", "a", "</think>"];
        assert_eq!(weighed("<think>a</think>", &tokens, &[0.0, 0.0, 2.0]), [0.0, 0.0, 20.0]);
    }

    #[test]
    fn tokens_of_one_character_and_empty_ones_have_their_places() {
        // Two halves of one character before a tag, and a token behind it that stands for no byte.
        let mut weights = [1.0; 4];
        let offsets = [(0, 3), (0, 3), (3, 10), (10, 10)];
        TagWeight { tags: Tags::default(), factor: 3.0 }.apply("嗯<think>", &offsets, &mut weights);
        assert_eq!(weights, [1.0, 1.0, 3.0, 1.0]);
    }
}
