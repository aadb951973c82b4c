//! What models wrote to the same prompts, side by side with the differences marked.

use kindling::demo::DemoKind;
use kindling::text::{Piece, differences};

use super::{Html, Part};

/// What a model wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A text; whether it was cut because it was long enough.
    Text(String, bool),
    /// It could not be asked this, and why.
    Refused(String),
}

/// What models wrote.
#[derive(Clone, Debug)]
pub struct Samples {
    /// What the prompts are for.
    pub kind: DemoKind,
    /// The models' names, one or two.
    pub models: Vec<String>,
    /// The prompts, each with what every model wrote.
    pub prompts: Vec<(String, Vec<Answer>)>,
    /// The longest answer, in tokens.
    pub longest: usize,
    /// Why a model wrote nothing, where one could not.
    pub lacking: Vec<String>,
}

/// All of it.
pub fn samples(samples: &Samples) -> Part {
    let Samples { kind, models, prompts, longest, lacking } = samples;
    let mut body: Html = lacking.iter().map(|told| Html::element("p", "", Html::text(told))).collect();
    if !prompts.is_empty() {
        let (english, chinese) = what(*kind);
        body.push(Html::paragraph(
            &format!("{english} Greedy: the likeliest token each time, at most {longest} of them."),
            &format!("{chinese}贪心解码：每次取概率最高的词元，最多 {longest} 个。"),
        ));
        if models.len() > 1 {
            body.push(Html::paragraph(
                "What only one of the two says is marked.",
                "仅其中一个模型写出的部分有标记。",
            ));
        }
        let head =
            [Html::both("prompt", "提示")].into_iter().chain(models.iter().map(|name| Html::text(name)));
        body.push(Html::table(head.collect(), prompts.iter().map(|(prompt, answers)| row(prompt, answers))));
    }
    Part { id: "samples", title: Html::both("Samples", "样例"), body }
}

/// What such prompts are, in both languages.
fn what(kind: DemoKind) -> (&'static str, &'static str) {
    match kind {
        DemoKind::Pretrained => ("Beginnings of texts that the models go on from.", "由模型续写的文本开头。"),
        DemoKind::Chat => ("Questions, each for itself.", "各自独立的问题。"),
        DemoKind::Preference => (
            "Questions where tone, length and care of an answer matter.",
            "回答的语气、长短与分寸有所讲究的问题。",
        ),
        DemoKind::Reasoning => ("Questions that need a thought or two.", "需要思考一两步的问题。"),
        DemoKind::Masked => ("Texts to write on, or with holes to fill.", "供续写或填空的文本。"),
    }
}

fn row(prompt: &str, answers: &[Answer]) -> Vec<Html> {
    let mut cells = vec![Html::text(prompt)];
    match answers {
        [Answer::Text(one, first), Answer::Text(two, second)] if one != two => {
            let [one, two] = differences(one, two);
            cells.push(shown(one.iter().map(piece).collect(), *first));
            cells.push(shown(two.iter().map(piece).collect(), *second));
        }
        answers => cells.extend(answers.iter().map(answer)),
    }
    cells
}

fn piece(Piece { text, same }: &Piece) -> Html {
    match same {
        true => Html::text(text),
        false => Html::element("mark", "", Html::text(text)),
    }
}

fn answer(answer: &Answer) -> Html {
    match answer {
        Answer::Text(text, cut) => shown(Html::text(text), *cut),
        Answer::Refused(why) => Html::element("span", "quiet", Html::text(why)),
    }
}

/// An answer with its line ends; one that was cut goes on in dots.
fn shown(mut text: Html, cut: bool) -> Html {
    if cut {
        text.push(Html::element("span", "quiet", Html::text(" …")));
    }
    Html::element("div", "answer", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(models: &[&str], answers: Vec<Answer>) -> String {
        let whole = Samples {
            kind: DemoKind::Chat,
            models: models.iter().map(ToString::to_string).collect(),
            prompts: vec![("Who <b>are</b> you?".into(), answers)],
            longest: 96,
            lacking: Vec::new(),
        };
        samples(&whole).body.markup().to_string()
    }

    #[test]
    fn what_differs_is_marked_and_nothing_that_a_model_writes_acts() {
        let text = |text: &str, cut: bool| Answer::Text(text.into(), cut);
        let markup = of(
            &["full_sft", "rlhf"],
            vec![text("I am <script>Kin</script>", false), text("I am <script>Tam</script>", true)],
        );
        assert!(markup.contains("I am &lt;script&gt;<mark>Kin</mark>&lt;/script&gt;"), "{markup}");
        assert!(markup.contains("<mark>Tam</mark>") && markup.matches(" …").count() == 1, "{markup}");
        assert!(!markup.contains("<script") && !markup.contains("<b>are"));
        assert!(markup.contains("<th>full_sft</th><th>rlhf</th>") && markup.contains("96"));
        let same = of(&["a", "b"], vec![text("yes", false), text("yes", false)]);
        assert!(!same.contains("<mark>"), "{same}");
        let alone = of(&["a"], vec![Answer::Refused("this <message> alone".into())]);
        assert!(
            alone.contains("this &lt;message&gt; alone") && !alone.contains("only one of the two"),
            "{alone}"
        );
    }

    #[test]
    fn a_model_that_could_not_write_is_told_of() {
        let none = Samples {
            kind: DemoKind::Chat,
            models: Vec::new(),
            prompts: Vec::new(),
            longest: 1,
            lacking: vec!["runs/a: there is no <config.json>".into()],
        };
        let part = samples(&none);
        assert!(
            part.body.markup().contains("no &lt;config.json&gt;") && !part.body.markup().contains("<table")
        );
    }
}
