//! Settings of other programs that a row of prompts may carry: passed over in silence they would seem to act.
//!
//! Those of transformers' `GenerationConfig` (5.x), vLLM's `SamplingParams`, OpenAI's requests and llama.cpp's server that
//! change an answer, or ask for more than one.

/// What to do about settings, and their keys.
const FOREIGN: [(&str, &[&str]); 19] = [
    (
        "write max_new_tokens",
        &["max_tokens", "max_completion_tokens", "max_output_tokens", "n_predict", "num_predict"],
    ),
    ("write max_new_tokens, which counts new tokens only", &["max_length"]),
    ("leave it out; ignore_eos goes on to max_new_tokens", &["min_new_tokens", "min_tokens", "min_length"]),
    ("write stop", &["stop_sequences", "stop_strings", "stop_words"]),
    (
        "write stop, with the token's text; the model's own end ids always act",
        &["stop_token_ids", "eos_token_id", "forced_eos_token_id"],
    ),
    ("leave it out; an answer ends by its tokens, not by the clock", &["max_time"]),
    ("leave it out; temperature 0 is greedy", &["do_sample"]),
    (
        "leave it out; there is no beam search",
        &[
            "num_beams",
            "num_beam_groups",
            "use_beam_search",
            "length_penalty",
            "early_stopping",
            "diversity_penalty",
            "force_words_ids",
        ],
    ),
    (
        "leave it out; a row has one answer, and repeated rows draw with other seeds",
        &["n", "best_of", "num_return_sequences"],
    ),
    (
        "leave it out; top_k, top_p and min_p are known",
        &[
            "typical_p",
            "top_h",
            "epsilon_cutoff",
            "eta_cutoff",
            "tfs_z",
            "mirostat",
            "mirostat_tau",
            "mirostat_eta",
            "penalty_alpha",
            "dola_layers",
            "guidance_scale",
        ],
    ),
    ("write repetition_penalty", &["repeat_penalty"]),
    (
        "leave it out; repetition_penalty, frequency_penalty and presence_penalty are known",
        &[
            "no_repeat_ngram_size",
            "encoder_repetition_penalty",
            "encoder_no_repeat_ngram_size",
            "exponential_decay_length_penalty",
            "repeat_last_n",
            "repetition_detection",
        ],
    ),
    (
        "write logit_bias, by token: 100 forces one, -100 rules it out",
        &[
            "bad_words",
            "bad_words_ids",
            "suppress_tokens",
            "begin_suppress_tokens",
            "sequence_bias",
            "allowed_token_ids",
            "forced_bos_token_id",
            "logits_processors",
            "remove_invalid_values",
            "renormalize_logits",
            "token_healing",
            "trace_decode_token_ids",
            "watermarking_config",
            "thinking_token_budget",
        ],
    ),
    (
        "leave it out; no grammar or schema acts on the answer",
        &[
            "response_format",
            "structured_outputs",
            "guided_decoding",
            "guided_json",
            "guided_regex",
            "guided_choice",
            "guided_grammar",
            "json_schema",
            "grammar",
        ],
    ),
    ("leave it out; the chat template decides", &["tool_choice", "parallel_tool_calls", "function_call"]),
    ("write \"chat_template_kwargs\": {\"enable_thinking\": …}", &["enable_thinking"]),
    ("write \"chat_template_kwargs\": {\"reasoning_effort\": …}", &["reasoning_effort"]),
    (
        "leave it out; probabilities are given by `kindling score`",
        &[
            "logprobs",
            "top_logprobs",
            "prompt_logprobs",
            "prompt_logprob_token_ids",
            "prompt_logprob_start",
            "logprob_token_ids",
            "flat_logprobs",
            "output_scores",
            "output_logits",
        ],
    ),
    (
        "leave it out; the answer is always given as text and tokens, without its prompt and its stop text",
        &[
            "echo",
            "return_full_text",
            "include_stop_str_in_output",
            "detokenize",
            "skip_special_tokens",
            "spaces_between_special_tokens",
            "truncate_prompt_tokens",
            "add_special_tokens",
            "add_generation_prompt",
            "continue_final_message",
            "bos_token_id",
            "pad_token_id",
            "decoder_start_token_id",
        ],
    ),
];

/// The keys of settings that are refused.
pub(super) fn foreign_settings() -> impl Iterator<Item = &'static str> {
    FOREIGN.into_iter().flat_map(|(_, keys)| keys.iter().copied())
}

/// What to do about a setting of another program; `None` where the key is not one.
pub(super) fn remedy(key: &str) -> Option<&'static str> {
    FOREIGN.into_iter().find(|(_, keys)| keys.contains(&key)).map(|(remedy, _)| remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::row_settings;

    /// The attributes of transformers' `GenerationConfig()` without the underscored, as version 5.24 has them.
    const TRANSFORMERS: &str = "assistant_confidence_threshold assistant_early_exit assistant_ensemble_weight \
        assistant_lookbehind bad_words_ids begin_suppress_tokens bos_token_id cache_config cache_implementation \
        compile_config constraints continuous_batching_config decoder_start_token_id disable_compile diversity_penalty \
        do_sample dola_layers early_stopping encoder_no_repeat_ngram_size encoder_repetition_penalty eos_token_id \
        epsilon_cutoff eta_cutoff exponential_decay_length_penalty force_words_ids forced_bos_token_id \
        forced_eos_token_id guidance_scale is_assistant length_penalty low_memory max_cache_len max_length \
        max_matching_ngram_size max_new_tokens max_time min_length min_new_tokens min_p no_repeat_ngram_size \
        num_assistant_tokens num_assistant_tokens_schedule num_beam_groups num_beams num_return_sequences \
        output_attentions output_hidden_states output_logits output_scores pad_token_id penalty_alpha \
        prefill_chunk_size prompt_lookup_num_tokens remove_invalid_values renormalize_logits repetition_penalty \
        return_dict_in_generate sequence_bias speculation_type stop_strings suppress_tokens target_lookbehind \
        temperature token_healing top_h top_k top_p transformers_version typical_p use_cache use_mtp \
        watermarking_config";
    /// The fields of vLLM's `SamplingParams` without the underscored, those of earlier versions among them.
    const VLLM: &str = "n best_of presence_penalty frequency_penalty repetition_penalty temperature top_p top_k min_p seed \
        use_beam_search length_penalty early_stopping stop stop_token_ids ignore_eos max_tokens min_tokens logprobs \
        prompt_logprobs prompt_logprob_token_ids prompt_logprob_start logprob_token_ids flat_logprobs detokenize \
        skip_special_tokens spaces_between_special_tokens include_stop_str_in_output output_kind stream_interval \
        skip_clone logits_processors truncate_prompt_tokens output_text_buffer_length guided_decoding \
        structured_outputs logit_bias allowed_token_ids extra_args bad_words skip_reading_prefix_cache \
        thinking_token_budget repetition_detection routed_experts_prompt_start trace_decode_token_ids";
    /// The fields of OpenAI's requests for completions and chat completions, but for the prompt, the messages and their
    /// tools.
    const OPENAI: &str = "model audio best_of echo frequency_penalty function_call functions logit_bias logprobs \
        max_completion_tokens max_tokens metadata modalities n parallel_tool_calls prediction presence_penalty \
        prompt_cache_key reasoning_effort response_format safety_identifier seed service_tier stop store stream \
        stream_options suffix temperature tool_choice top_logprobs top_p user verbosity web_search_options";
    /// How an answer is computed and sent, which does not change it.
    const SPEED: &str = "assistant_confidence_threshold assistant_early_exit assistant_ensemble_weight \
        assistant_lookbehind cache_config cache_implementation compile_config continuous_batching_config disable_compile \
        is_assistant low_memory max_cache_len max_matching_ngram_size num_assistant_tokens \
        num_assistant_tokens_schedule output_attentions output_hidden_states prefill_chunk_size \
        prompt_lookup_num_tokens return_dict_in_generate speculation_type target_lookbehind transformers_version \
        use_cache use_mtp output_kind stream_interval skip_clone output_text_buffer_length extra_args \
        skip_reading_prefix_cache routed_experts_prompt_start model metadata prompt_cache_key safety_identifier \
        service_tier store stream stream_options";
    /// Texts, and lists of them: a row may hold such a key for its own ends, and it is named as unused, or read.
    const TEXTS: &str =
        "constraints audio functions modalities prediction suffix user verbosity web_search_options";

    #[test]
    fn every_setting_of_the_known_programs_is_read_or_refused_or_passed_over_on_purpose() {
        let known = row_settings();
        let passed: Vec<&str> = [SPEED, TEXTS].into_iter().flat_map(str::split_whitespace).collect();
        for key in [TRANSFORMERS, VLLM, OPENAI].into_iter().flat_map(str::split_whitespace) {
            assert!(known.contains(&key) != passed.contains(&key), "{key}");
        }
    }

    #[test]
    fn every_key_stands_once_and_has_a_remedy() {
        let mut keys = row_settings();
        keys.sort_unstable();
        assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "{keys:?}");
        assert!(foreign_settings().all(|key| remedy(key).is_some()));
        assert_eq!(remedy("temperature"), None);
        assert_eq!(remedy("max_tokens"), Some("write max_new_tokens"));
    }
}
