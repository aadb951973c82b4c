"""Writes chat_templates.json: Kindling's own golden renderings, made with jinja2 as `transformers` sets it up.

Run: python3 -m pip install jinja2==3.1.6 && python3 tests/golden/chat_templates.py

Each case holds a template, a conversation, the text jinja2 renders, and `targets`: the texts the assistant says. Where
the template has {% generation %} blocks, jinja2 recorded them here; elsewhere they are written by hand below.
"""

import datetime
import json
import pathlib

import jinja2
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).parent
CHATML = (HERE / "../../core/src/tokenizer/chatml.jinja").read_text(encoding="utf-8")
NOW = "2024-07-06T09:05:00"


class Generation(Extension):
    """The {% generation %} tag, as in transformers' AssistantTracker: it records what its blocks print."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        call = self.call_method("_record")
        return jinja2.nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _record(self, caller):
        printed = caller()
        self.environment.recorded.append(printed)
        return printed


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def strftime_now(layout):
    return datetime.datetime.fromisoformat(NOW).strftime(layout)


def environment():
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    env.filters["tojson"] = tojson
    env.globals["strftime_now"] = strftime_now
    return env


TALK = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "Wie geht's? 你好 <b> & \"c\""},
    {"role": "assistant", "content": "Gut.\n很好！"},
    {"role": "user", "content": "1 + 1"},
    {"role": "assistant", "content": "2"},
]
THINKING = [
    {"role": "user", "content": "q1"},
    {"role": "assistant", "content": "a1", "reasoning_content": "r1"},
    {"role": "user", "content": "q2"},
    {"role": "assistant", "content": "a2", "reasoning_content": "r2"},
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Wetter & <Klima> 天气",
            "parameters": {"type": "object", "properties": {"days": {"type": "integer", "minimum": 1.0, "step": 1e-7}}},
        },
    }
]

CALLS = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "Regen?"},
    {
        "role": "assistant",
        "content": "Moment.",
        "reasoning_content": "\nzwei Orte\n",
        "tool_calls": [
            {"type": "function", "function": {"name": "weather", "arguments": {"city": "Ω <&>"}}},
            {"name": "weather", "arguments": '{"city":"B"}'},
        ],
    },
    {"role": "tool", "content": "{\"rain\": true}"},
    {"role": "tool", "content": "nein"},
    {"role": "assistant", "content": "Ja und nein.", "reasoning_content": " "},
    {"role": "user", "content": "Morgen?"},
    {"role": "assistant", "content": "", "tool_calls": [{"name": "weather", "arguments": {}}]},
]

BLOCKS = """\
{% for message in messages %}
    {% if message['role'] == 'assistant' %}
        {# the answer #}
        {% generation %}
[{{ message['content'] }}]
        {%+ endgeneration %}
    {% else %}
{{ message['role'] }}: {{ message['content'] }}
    {%- endif %}

{% endfor %}
"""

NO_PROMPT = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"

PLAIN = """\
{%- for m in messages -%}
{{ m.role | capitalize }}: {{ m.content | trim }}
{% endfor -%}
{%- if add_generation_prompt %}Assistant:{% endif -%}
"""

FORGETS = """\
{%- set ns = namespace(last=-1) -%}
{%- for m in messages if m.role == 'user' -%}
    {%- set ns.last = ns.last + 1 -%}
{%- endfor -%}
{%- set seen = namespace(users=-1) -%}
{%- for m in messages -%}
    {%- if m.role == 'user' -%}{%- set seen.users = seen.users + 1 -%}{%- endif -%}
    {{- '<|im_start|>' ~ m['role'] ~ '\\n' -}}
    {%- if m.role == 'assistant' and seen.users == ns.last and m.reasoning_content is string -%}
        {{- '<think>\\n' + m.reasoning_content.strip('\\n') + '\\n</think>\\n' -}}
    {%- endif -%}
    {{- m.content + '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}
"""

ENGINE = """\
{{ bos_token }}{{ missing }}|{{ tools is none }}|{{ documents is none }}|{{ tools is defined }}
{%- for m in messages[::-1] %}
    {%- if loop.index0 == 2 %}{% break %}{% endif %}|{{ m.role[:2] }}{{ loop.index }}{% endfor %}
{%- for m in messages[1:] %}
    {%- if m.role == 'user' %}{% continue %}{% endif %}|{{ loop.index }}{{ loop.last }}{% endfor %}
|{{ messages[-1].content.split('2')[-1] is string }}|{{ ' a,b '.strip().split(',') | join('-') | upper }}
|{{ messages | length // 2 }}|{{ 7 / 2 }}|{{ 7 % 3 }}|{{ 2 ** 3 }}|{{ none }}|{{ 1.0 }}|{{ true and not false }}
|{{ messages[0].get('name', 'nobody') }}|{{ 'xxayy'.lstrip('x').rstrip('y') }}|{{ 'a.b'.replace('.', '/') }}
|{{ 'abc'.startswith(('x', 'a')) }}|{{ 'c' in 'abc' }}|{{ 'yes' if 2 in [1, 2] else 'no' }}|{{ 'ab'.title() }}
|{% for k, v in {'z': 1, 'a': 2}.items() %}{{ k }}{{ v }}{% endfor %}|{{ messages | map(attribute='role') | join(' ') }}
|{{ messages | selectattr('role', 'equalto', 'user') | list | length }}|{{ thinking | default('off') }}
{% macro wrap(text, mark='*') %}{{ mark }}{{ text }}{{ mark }}{% endmacro %}
{{- wrap('in') }}{{ wrap('out', mark='#') }}|{{ strftime_now('%d %b %Y, %A %H:%M') }}
{%- raw %}{{ raw }}{% endraw %}
"""

TOOL_TEXT = """\
{% for tool in tools %}
{{ tool | tojson }}
{{ tool | tojson(indent=2) }}
{{ tool.function.parameters | tojson(separators=(',', ':'), sort_keys=true) }}
{% endfor %}
{{ messages[0].content | tojson }}{{ messages[0].content | tojson(ensure_ascii=true) }}
{{ [none, true, 1, 0.5] | tojson }}
"""

CASES = [
    {"name": "chatml", "template": CHATML, "messages": TALK},
    {"name": "chatml prompt", "template": CHATML, "messages": TALK[:4], "add_generation_prompt": True},
    {"name": "chatml empty answer", "template": CHATML, "messages": [*TALK[:2], {"role": "assistant", "content": ""}]},
    {"name": "chatml tools and reasoning", "template": CHATML, "messages": CALLS, "tools": TOOLS},
    {"name": "chatml tools alone", "template": CHATML, "messages": TALK[1:2], "tools": TOOLS},
    {"name": "blocks", "template": BLOCKS, "messages": TALK},
    {"name": "no generation prompt", "template": NO_PROMPT, "messages": TALK,
     "targets": ["Gut.\n很好！<|im_end|>", "2<|im_end|>"]},
    {"name": "plain text", "template": PLAIN, "messages": TALK, "targets": [" Gut.\n很好！\n", " 2\n"]},
    {"name": "plain text prompt", "template": PLAIN, "messages": TALK[:2], "add_generation_prompt": True},
    {"name": "forgets thinking", "template": FORGETS, "messages": THINKING,
     "targets": ["a1<|im_end|>", "<think>\nr2\n</think>\na2<|im_end|>"]},
    {"name": "engine", "template": ENGINE, "messages": TALK, "variables": {"thinking": "on", "now": NOW}},
    {"name": "tools", "template": TOOL_TEXT, "messages": TALK[1:2], "tools": TOOLS},
]


def render(env, case):
    env.recorded = []
    text = env.from_string(case["template"]).render(
        messages=case["messages"],
        tools=case.get("tools"),
        documents=None,
        add_generation_prompt=case.get("add_generation_prompt", False),
        bos_token="<s>",
        **case.get("variables", {}),
    )
    golden = dict(case, text=text)
    if "{% generation %}" in case["template"] or "{%- generation -%}" in case["template"]:
        golden["targets"] = [printed for printed in env.recorded if printed]
    return golden


def main():
    env = environment()
    golden = [render(env, case) for case in CASES]
    text = json.dumps(golden, ensure_ascii=False, indent=1) + "\n"
    (HERE / "chat_templates.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
