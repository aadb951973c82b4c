//! Chat templates of different kinds, each in Jinja and as the parts that it prints, written by hand.

use kindling::text::Message;
use kindling::tokenizer::CHATML;

/// A template, and what it prints of a message: a head, its words, what ends them and is said with them, and a rest.
pub struct Style {
    pub name: &'static str,
    pub template: &'static str,
    pub eos: &'static str,
    /// Whether it prints system messages.
    pub system: bool,
    /// Whether its generation prompt is what stands before an answer.
    pub consistent: bool,
    pub parts: fn(&Message) -> [String; 4],
}

fn parts(head: &str, words: &str, end: &str, rest: &str) -> [String; 4] {
    [head, words, end, rest].map(str::to_string)
}

fn chatml(m: &Message) -> [String; 4] {
    parts(&format!("<|im_start|>{}\n", m.role), &m.content, "<|im_end|>", "\n")
}

fn llama2(m: &Message) -> [String; 4] {
    match m.role.as_str() {
        "user" => parts("<s>[INST] ", &m.content, " [/INST]", ""),
        _ => parts("", &format!(" {}", m.content), " </s>", ""),
    }
}

fn llama3(m: &Message) -> [String; 4] {
    let head = format!("<|start_header_id|>{}<|end_header_id|>\n\n", m.role);
    parts(&head, m.content.trim(), "<|eot_id|>", "")
}

fn mistral(m: &Message) -> [String; 4] {
    match m.role.as_str() {
        "user" => parts("[INST] ", &m.content, " [/INST]", ""),
        _ => parts("", &m.content, "</s>", ""),
    }
}

fn forgetful(m: &Message) -> [String; 4] {
    match m.role.as_str() {
        "user" => parts("<|user|>", &m.content, "", ""),
        _ => parts("<|assistant|>", m.content.rsplit("</think>").next().unwrap(), "<|eot_id|>", ""),
    }
}

fn user_colon(m: &Message) -> [String; 4] {
    match m.role.as_str() {
        "user" => parts("User: ", &m.content, "", "\n"),
        _ => parts("Assistant: ", &m.content, "</s>", "\n"),
    }
}

fn alpaca(m: &Message) -> [String; 4] {
    let head = if m.role == "user" { "### Instruction:\n" } else { "### Response:\n" };
    parts(head, &m.content, "\n\n", "")
}

fn zephyr(m: &Message) -> [String; 4] {
    let head = if m.role == "user" { "<|usr|>\n" } else { "<|bot|>\n" };
    parts(head, &m.content, "</s>", "\n")
}

pub static STYLES: [Style; 9] = [
    Style {
        name: "ChatML with blocks",
        template: CHATML,
        eos: "<|im_end|>",
        system: true,
        consistent: true,
        parts: chatml,
    },
    Style {
        name: "ChatML",
        template: "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}\
                   {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        eos: "<|im_end|>",
        system: true,
        consistent: true,
        parts: chatml,
    },
    Style {
        name: "Llama 2",
        template: "{% for m in messages %}{% if m.role == 'user' %}{{ '<s>[INST] ' + m.content + ' [/INST]' }}\
                   {% else %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}",
        eos: "</s>",
        system: false,
        consistent: true,
        parts: llama2,
    },
    Style {
        name: "Llama 3",
        template: "{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' }}\
                   {{ (m.content | trim) + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}\
                   {{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
        // As in its base models: another token than the one that ends a turn.
        eos: "<|endoftext|>",
        system: true,
        consistent: true,
        parts: llama3,
    },
    Style {
        name: "Mistral",
        template: "{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}\
                   {% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}",
        eos: "</s>",
        system: false,
        consistent: true,
        parts: mistral,
    },
    Style {
        name: "forgets thinking",
        template: "{% for m in messages %}{% if m.role == 'user' %}{{ '<|user|>' + m.content }}{% else %}\
                   {{ '<|assistant|>' + m.content.split('</think>')[-1] + '<|eot_id|>' }}{% endif %}{% endfor %}\
                   {% if add_generation_prompt %}{{ '<|assistant|><think>\n' }}{% endif %}",
        eos: "<|eot_id|>",
        system: false,
        consistent: false,
        parts: forgetful,
    },
    Style {
        name: "User: Assistant:",
        template: "{% for m in messages %}{% if m.role == 'user' %}{{ 'User: ' + m.content + '\n' }}{% else %}\
                   {{ 'Assistant: ' + m.content + eos_token + '\n' }}{% endif %}{% endfor %}\
                   {% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}",
        eos: "</s>",
        system: false,
        consistent: true,
        parts: user_colon,
    },
    Style {
        name: "Alpaca",
        template: "{% for m in messages %}{% if m.role == 'user' %}{{ '### Instruction:\n' + m.content + '\n\n' }}\
                   {% else %}{{ '### Response:\n' + m.content + '\n\n' }}{% endif %}{% endfor %}\
                   {% if add_generation_prompt %}{{ '### Response:\n' }}{% endif %}",
        eos: "</s>",
        system: false,
        consistent: true,
        parts: alpaca,
    },
    Style {
        name: "Zephyr",
        template: "{% for m in messages %}{% if m.role == 'user' %}{{ '<|usr|>\n' + m.content + eos_token + '\n' }}\
                   {% else %}{{ '<|bot|>\n' + m.content + eos_token + '\n' }}{% endif %}{% endfor %}\
                   {% if add_generation_prompt %}{{ '<|bot|>\n' }}{% endif %}",
        eos: "</s>",
        system: false,
        consistent: true,
        parts: zephyr,
    },
];
