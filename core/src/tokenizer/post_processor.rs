//! What a post-processor puts around a text. In `transformers` 5 it alone decides: with a `tokenizer.json` there, the
//! keys `add_bos_token` and `add_eos_token` are not read.

use serde_json::Value;

/// Ids before a text and behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Around {
    /// BOS, mostly, or nothing.
    pub(crate) before: Vec<u32>,
    /// EOS, or nothing.
    pub(crate) behind: Vec<u32>,
}

impl Around {
    /// Reads the post-processor of a `tokenizer.json`.
    pub(crate) fn of(post_processor: &Value) -> Self {
        let mut around = Self::default();
        around.add(post_processor);
        around
    }

    /// Puts what a step adds around what is there.
    fn add(&mut self, step: &Value) {
        let (before, behind) = match step["type"].as_str() {
            Some("TemplateProcessing") => template(step),
            Some("BertProcessing" | "RobertaProcessing") => (pair(&step["cls"]), pair(&step["sep"])),
            Some("Sequence") => {
                let steps = step["processors"].as_array();
                return steps.into_iter().flatten().for_each(|step| self.add(step));
            }
            _ => return,
        };
        self.before = [before, std::mem::take(&mut self.before)].concat();
        self.behind.extend(behind);
    }
}

/// The tokens of a template before the text's place, and those behind it.
fn template(step: &Value) -> (Vec<u32>, Vec<u32>) {
    let (mut before, mut behind, mut reached) = (Vec::new(), Vec::new(), false);
    for piece in step["single"].as_array().into_iter().flatten() {
        let Some(token) = piece["SpecialToken"]["id"].as_str() else {
            reached = true;
            continue;
        };
        let ids = step["special_tokens"][token]["ids"].as_array().into_iter().flatten().filter_map(id);
        if reached { behind.extend(ids) } else { before.extend(ids) }
    }
    (before, behind)
}

/// A token and its id.
fn pair(token: &Value) -> Vec<u32> {
    id(&token[1]).into_iter().collect()
}

fn id(id: &Value) -> Option<u32> {
    id.as_u64().and_then(|id| u32::try_from(id).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn template(single: Value) -> Value {
        let token = |id: &str, ids: &[u32]| json!({"id": id, "ids": ids, "tokens": []});
        json!({
            "type": "TemplateProcessing", "single": single, "pair": [],
            "special_tokens": {"<s>": token("<s>", &[1]), "</s>": token("</s>", &[2]), "<p>": token("<p>", &[7, 8])},
        })
    }

    fn special(id: &str) -> Value {
        json!({"SpecialToken": {"id": id, "type_id": 0}})
    }

    fn text() -> Value {
        json!({"Sequence": {"id": "A", "type_id": 0}})
    }

    #[test]
    fn every_kind_says_what_it_puts_where() {
        let bos = template(json!([special("<s>"), text()]));
        let sequence = |steps: Value| json!({"type": "Sequence", "processors": steps});
        let bytes = json!({"type": "ByteLevel", "trim_offsets": false});
        let eos = template(json!([text(), special("</s>")]));
        for (post_processor, before, behind) in [
            (Value::Null, &[][..], &[][..]),
            (bytes.clone(), &[], &[]),
            (bos.clone(), &[1], &[]),
            (template(json!([special("<p>"), special("<s>"), text(), special("</s>")])), &[7, 8, 1], &[2]),
            // As Llama 3 has it.
            (sequence(json!([bytes, bos.clone()])), &[1], &[]),
            (sequence(json!([eos, sequence(json!([bos]))])), &[1], &[2]),
            (json!({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]}), &[0], &[2]),
            (template(json!([special("unknown"), 3, text()])), &[], &[]),
        ] {
            let expected = Around { before: before.to_vec(), behind: behind.to_vec() };
            assert_eq!(Around::of(&post_processor), expected, "{post_processor}");
        }
    }
}
