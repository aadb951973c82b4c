//! What a run taught: the lesson's own questions with the answers before and after, right and wrong; of two answers, which
//! one the model holds to be likelier.

use super::dom::{El, el};
use crate::difference::{Piece, differences};
use crate::format::{fill, percent, share_of_first};
use crate::language::Text;
use crate::messages::run::{Answered, Asked, Judged, Lesson, Weighed};

/// Shows it in its place; nothing where nothing was asked.
pub fn show(place: &El, lesson: Option<&Lesson>, t: &'static Text) {
    place.clear();
    place.show(lesson.is_some());
    let Some(lesson) = lesson else { return };
    if !lesson.answers.is_empty() {
        let list = el("ol").class("learned");
        lesson.answers.iter().for_each(|answer| list.add(&row(answer, t)));
        let rule = match lesson.judged {
            Judged::Letters => t.stages.by_letters,
            Judged::Tags => t.stages.by_tags,
            Judged::Reward => t.stages.by_reward,
        };
        place.add(&el("h3").id("learned-count").text(&count(lesson, t)));
        place.add(&el("p").class("faint").id("learned-rule").text(rule));
        place.add(&list);
    }
    if !lesson.pairs.is_empty() {
        let list = el("ol").class("learned");
        lesson.pairs.iter().for_each(|pair| list.add(&choice(pair, t)));
        place.add(&el("h3").id("learned-count").text(&preferred(&lesson.pairs, t)));
        place.add(&list);
    }
    if !lesson.asked.is_empty() {
        let list = el("ol").class("learned");
        lesson.asked.iter().for_each(|asked| list.add(&question(asked, t)));
        place.add(&el("h3").text(t.lessons.learned));
        place.add(&list);
    }
}

/// How many rows were answered rightly, and of how many.
fn count(lesson: &Lesson, t: &'static Text) -> String {
    let (asked, right) = (lesson.answers.len(), lesson.answers.iter().filter(|answer| answer.right).count());
    let mut sentence = fill(t.teach.learned, &[&right.to_string(), &asked.to_string()]);
    if (asked as f64) < lesson.rows {
        sentence += &fill(t.teach.asked_some, &[&format!("{:.0}", lesson.rows)]);
    }
    if right < asked {
        sentence += t.teach.learned_not_all;
    }
    sentence
}

/// In how many rows the better answer is likelier now, and in how many it was.
fn preferred(pairs: &[Weighed], t: &'static Text) -> String {
    let likelier = |of: fn(&Weighed) -> [f64; 2]| {
        pairs.iter().map(of).filter(|[better, worse]| better > worse).count().to_string()
    };
    let [after, before] = [likelier(|pair| pair.after), likelier(|pair| pair.before)];
    fill(t.stages.preferred, &[&after, &pairs.len().to_string(), &before])
}

/// A question with a better and a worse answer: the share of the better one, and what the model says itself.
fn choice(pair: &Weighed, t: &'static Text) -> El {
    let prefers = pair.after[0] > pair.after[1];
    let (mark, word) = if prefers { ("✓", t.teach.right) } else { ("✗", t.teach.wrong) };
    let verdict = el("span").class("verdict").attr("role", "img").attr("aria-label", word).text(mark);
    let asked = el("p").child(&verdict).child(&el("strong").text(&pair.question));
    let item = el("li").test("weighed-row").attr("data-right", &prefers.to_string()).child(&asked);
    let answer = |name: &str, text: &str| {
        let said = el("span").class("said").text(text);
        el("p").child(&el("span").class("label").text(name)).child(&said)
    };
    let [before, after] = [pair.before, pair.after].map(|both| percent(share_of_first(both)));
    let item = item.child(&answer(t.stages.better, &pair.chosen));
    let item = item.child(&answer(t.stages.worse, &pair.rejected).class("faint"));
    let item = item.child(&el("p").test("weighed-share").text(&fill(t.stages.share, &[&before, &after])));
    both(item, &pair.said_before, &pair.said_after, t)
}

/// A row's question, and whether the answer after is the row's.
fn row(answer: &Answered, t: &'static Text) -> El {
    let Answered { question, expected, before, after, right } = answer;
    let (mark, word) = if *right { ("✓", t.teach.right) } else { ("✗", t.teach.wrong) };
    let verdict = el("span").class("verdict").attr("role", "img").attr("aria-label", word).text(mark);
    let asked = el("p").child(&verdict).child(&el("strong").text(question));
    let item = el("li").test("learned-row").attr("data-right", &right.to_string()).child(&asked);
    let item = both(item, before, after, t);
    if *right {
        return item;
    }
    let [_, missing] = differences(after, expected);
    item.child(&line(t.teach.expected, "mark", &missing))
}

/// A question of the teacher, of whose answer nobody said what is right.
fn question(Asked { question, before, after }: &Asked, t: &'static Text) -> El {
    let asked = el("p").child(&el("strong").text(question));
    both(el("li").test("asked-row").child(&asked), before, after, t)
}

/// The answers: what is new in the one after, and what is gone of the one before.
fn both(item: El, before: &str, after: &str, t: &'static Text) -> El {
    let [gone, new] = differences(before, after);
    item.child(&line(t.teach.before, "del", &gone).class("faint")).child(&line(t.teach.after, "ins", &new))
}

/// A named answer whose own pieces stand in elements of this tag.
fn line(name: &str, tag: &str, pieces: &[Piece]) -> El {
    let said = el("span").class("said");
    for Piece { text, same } in pieces {
        said.add(&el(if *same { "span" } else { tag }).text(text));
    }
    el("p").child(&el("span").class("label").text(name)).child(&said)
}
