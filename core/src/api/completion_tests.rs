//! Completions as clients read them, `lm_eval` among them.

use serde_json::{Value, json};

use super::played::{head, logits, tokenizer, with_served};
use super::{CompletionRequest, Work};
use crate::sample::{FinishReason, Generation, Piece};

/// Answers a completion's request as the engine does: prompts first, then one token for each work.
fn complete(body: &str, token: &str, end: bool) -> Value {
    let tokenizer = tokenizer();
    let request = CompletionRequest::parse(body.as_bytes()).unwrap();
    let (works, mut reply) = with_served(&tokenizer, 100, |served| request.prepare(served, head())).unwrap();
    reply.begin();
    let id = tokenizer.encode(token).unwrap()[0];
    for (index, Work { request, scored }) in works.into_iter().enumerate() {
        for (position, _) in scored.iter().flatten().enumerate() {
            // Whatever follows, the token with the position's number is the likely one.
            reply.prompt_logits(index, position, &logits(&tokenizer, position as u32));
        }
        reply.prompt_end(index);
        let Some(request) = request else {
            reply.skip(index);
            continue;
        };
        let drawn = if end { request.end_ids[0] } else { id };
        let logits = logits(&tokenizer, drawn);
        let drawn = Some((drawn, &logits[..]));
        let piece = match end {
            true => Piece { text: "", token: None, end: drawn },
            false => Piece { text: token, token: drawn, end: None },
        };
        reply.piece(index, &piece);
        reply.done(
            index,
            &Generation {
                prompt_tokens: request.prompt,
                tokens: if end { Vec::new() } else { vec![id] },
                text: String::new(),
                finish_reason: if end { FinishReason::Stop } else { FinishReason::Length },
                end_token: end.then(|| request.end_ids[0]),
                prefill_tokens_per_second: None,
                decode_tokens_per_second: None,
            },
        );
    }
    serde_json::to_value(reply.whole()).unwrap()
}

#[test]
fn echoed_prompts_are_what_lm_eval_reads() {
    // What lm_eval 0.4.13 sends; it takes [ctxlen:-1] of the lists, and compares with the largest of the top.
    let body = r#"{"model": "m", "prompt": [[5, 1, 7], [2, 3]], "temperature": 0, "max_tokens": 1, "logprobs": 1,
        "seed": 1234, "echo": true}"#;
    for end in [false, true] {
        let answer = complete(body, "a", end);
        let choices = answer["choices"].as_array().unwrap();
        assert_eq!(
            choices.iter().map(|choice| choice["index"].as_u64().unwrap()).collect::<Vec<_>>(),
            [0, 1]
        );
        let logprobs = &choices[0]["logprobs"];
        let lengths = ["tokens", "token_logprobs", "top_logprobs", "text_offset"]
            .map(|list| logprobs[list].as_array().unwrap().len());
        assert_eq!(lengths, [4; 4], "three of the prompt and one new, also where that ends the text: {end}");
        assert!(logprobs["token_logprobs"][0].is_null() && logprobs["top_logprobs"][0].is_null());
        let is_greedy = |at: usize| {
            let top = logprobs["top_logprobs"][at].as_object().unwrap();
            let largest = top.values().map(|value| value.as_f64().unwrap()).fold(f64::MIN, f64::max);
            logprobs["token_logprobs"][at].as_f64().unwrap() == largest
        };
        // After position 0 token 0 is likely, after position 1 token 1; the prompt goes on with 1 and 7.
        assert!(!is_greedy(1) && !is_greedy(2) && is_greedy(3), "also of the token that ends the text");
        assert!(choices[1]["logprobs"]["token_logprobs"][1].as_f64().unwrap() < -4.0);
        assert_eq!(answer["usage"]["prompt_tokens"], 5);
    }
    let scored = complete(
        r#"{"model": "m", "prompt": [2, 0], "max_tokens": 0, "logprobs": 0, "echo": true}"#,
        "a",
        false,
    );
    let logprobs = &scored["choices"][0]["logprobs"];
    assert_eq!(
        (logprobs["tokens"].as_array().unwrap().len(), &scored["choices"][0]["finish_reason"]),
        (2, &json!("length"))
    );
    let likely = 4.0 - (4f64.exp() + tokenizer().vocab_size() as f64 - 1.0).ln();
    assert!(
        (logprobs["token_logprobs"][1].as_f64().unwrap() - likely).abs() < 1e-9,
        "0 is likely behind position 0"
    );
}

#[test]
fn texts_go_on_behind_their_prompt() {
    let answer = complete(r#"{"model": "m", "prompt": "你", "echo": true, "logprobs": 2}"#, "a", false);
    let choice = &answer["choices"][0];
    assert_eq!((&choice["text"], &choice["finish_reason"]), (&json!("你a"), &json!("length")));
    assert_eq!(choice["logprobs"]["tokens"], json!(["bytes:\\xe4", "bytes:\\xbd", "bytes:\\xa0", "a"]));
    assert_eq!(choice["logprobs"]["text_offset"], json!([0, 1, 1, 1]));
    let plain = complete(r#"{"model": "m", "prompt": ["x", "y"], "n": 2}"#, "a", false);
    let choices = plain["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 4);
    assert_eq!(choices[3], json!({"text": "a", "index": 3, "logprobs": null, "finish_reason": "length"}));
    assert_eq!(plain["usage"], json!({"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}));
}
