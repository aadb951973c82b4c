//! A row as a question with its choices: the harness's own forms, those of the sets' makers, and the plain
//! `{"question", "choices", "answer"}`.

use serde_json::{Map, Value};

use super::Task;
use super::python::{capitalized, strip};
use crate::data::Taken;
use crate::text::is_label;
use crate::told::{Told, told};

/// The letters of choices.
const LETTERS: [&str; 5] = ["A", "B", "C", "D", "E"];

/// A question as a model is asked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The text before the answer: one for all choices, or one for each where the choices stand in it (WinoGrande).
    pub openings: Vec<String>,
    /// What may follow: the choices, or the one end of all openings.
    pub endings: Vec<String>,
    /// Which choice is right, or none where an answer is written.
    pub gold: usize,
    /// The question without its form, whose words are looked for in training data.
    pub stem: String,
    /// The row itself: equal ones are the same question.
    pub row: String,
}

impl Question {
    /// How many choices it has.
    pub fn choices(&self) -> usize {
        self.openings.len().max(self.endings.len())
    }

    /// The opening and the ending of a choice.
    pub fn choice(&self, number: usize) -> (&str, &str) {
        let of = |texts: &[String]| if texts.len() == 1 { 0 } else { number };
        (&self.openings[of(&self.openings)], &self.endings[of(&self.endings)])
    }

    /// The characters of each choice, which `acc_norm` divides by.
    pub fn characters(&self) -> Vec<usize> {
        let texts = if self.openings.len() > 1 { &self.openings } else { &self.endings };
        texts.iter().map(|text| text.chars().count()).collect()
    }
}

/// Reads a row, and names the keys that nothing of it is read from.
///
/// # Errors
/// What the row lacks.
pub fn read_question(task: Task, row: &Map<String, Value>) -> Result<Taken<Question>, Told> {
    let mut keys = Keys { row, read: Vec::new() };
    let question = match task {
        Task::Piqa => piqa(&mut keys),
        Task::Siqa => siqa(&mut keys),
        Task::Hellaswag => hellaswag(&mut keys),
        Task::Winogrande => winogrande(&mut keys),
        Task::Gsm8k => gsm8k(&mut keys),
        _ => chosen(task, &mut keys),
    }?;
    let empty = question.characters().contains(&0);
    if empty || question.gold >= question.choices() {
        return Err(told!("eval.row_choices", "a choice is empty, or the answer is none of the choices"));
    }
    let read = keys.read;
    let unused = row.keys().filter(|key| !read.contains(&key.as_str()) && !is_label(key)).cloned().collect();
    Ok((question, unused))
}

/// The keys of a row, in whatever case, and which were read.
struct Keys<'a> {
    row: &'a Map<String, Value>,
    read: Vec<&'a str>,
}

impl<'a> Keys<'a> {
    /// The value of the first of these keys that is there and not null.
    fn find(&mut self, names: &[&str]) -> Option<&'a Value> {
        let row = self.row;
        let holds =
            |name: &&str| row.iter().find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_null());
        let (key, value) = names.iter().find_map(holds)?;
        self.read.push(key);
        Some(value)
    }

    /// The same, which must be there.
    fn value(&mut self, names: &[&str]) -> Result<&'a Value, Told> {
        let name = names.join(" / ");
        self.find(names).ok_or_else(|| told!("eval.row_missing", "the row has no {name}", name))
    }

    /// A text that must be there.
    fn text(&mut self, names: &[&str]) -> Result<&'a str, Told> {
        let value = self.value(names)?;
        let name = names.join(" / ");
        value.as_str().ok_or_else(|| told!("eval.row_text", "{name} is no text", name))
    }

    /// A number, as such or as text, less `base`.
    fn number(&mut self, names: &[&str], base: u64) -> Result<usize, Told> {
        let value = self.value(names)?;
        let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
        let number = number.and_then(|number| usize::try_from(number.checked_sub(base)?).ok());
        let name = names.join(" / ");
        number.ok_or_else(|| told!("eval.row_number", "{name} is no number from {base} on", name, base))
    }

    /// All of it.
    fn whole(&self) -> String {
        Value::Object(self.row.clone()).to_string()
    }
}

fn texts(values: &[Value]) -> Option<Vec<String>> {
    values.iter().map(|value| Some(value.as_str()?.to_string())).collect()
}

/// The choices of a row with the labels that they are told apart by.
fn labelled(
    keys: &mut Keys,
    question: Option<&Value>,
    count: usize,
) -> Result<(Vec<String>, Vec<String>), Told> {
    let none = || told!("eval.row_no_choices", "the row has no choices: choices, or A, B, C, D");
    let letters = |count: usize| LETTERS.iter().take(count).map(ToString::to_string).collect::<Vec<_>>();
    let found = question.and_then(|question| question.get("choices")).or_else(|| keys.find(&["choices"]));
    match found {
        Some(Value::Array(list)) if list.iter().all(Value::is_string) => {
            let texts = texts(list).ok_or_else(none)?;
            Ok((letters(texts.len()), texts))
        }
        Some(Value::Array(list)) => {
            let part = |name: &str| {
                let of = |choice: &Value| Some(choice.get(name)?.as_str()?.to_string());
                list.iter().map(of).collect::<Option<Vec<_>>>()
            };
            part("label").zip(part("text")).ok_or_else(none)
        }
        Some(Value::Object(parts)) => {
            let part = |name: &str| texts(parts.get(name)?.as_array()?);
            part("label")
                .zip(part("text"))
                .filter(|(labels, texts)| labels.len() == texts.len())
                .ok_or_else(none)
        }
        Some(_) => Err(none()),
        None => {
            let letter = |letter: &&str| Some(keys.find(&[*letter])?.as_str()?.to_string());
            let texts = LETTERS.iter().take(count.max(4)).map(letter).collect::<Option<Vec<_>>>();
            let texts = texts.ok_or_else(none)?;
            Ok((letters(texts.len()), texts))
        }
    }
}

/// Which of the labels a row answers with; a number is a place, from 0 on.
fn gold(keys: &mut Keys, labels: &[String]) -> Result<usize, Told> {
    let value = keys.value(&["answerKey", "answer"])?;
    if let Some(place) = value.as_u64() {
        return Ok(usize::try_from(place).unwrap_or(usize::MAX));
    }
    let text = value.as_str().unwrap_or_default().trim();
    let place = labels.iter().position(|label| label == text);
    place.ok_or_else(|| {
        told!(
            "eval.row_answer",
            "the answer '{answer}' is none of the labels {labels}; questions without answers cannot be judged",
            answer = text,
            labels = labels.join(", ")
        )
    })
}

/// Questions whose choices are listed: C-Eval, CMMLU, MMLU and CommonsenseQA show them and ask for a letter, ARC and
/// OpenBookQA ask for the text.
fn chosen(task: Task, keys: &mut Keys) -> Result<Question, Told> {
    let asked = keys.value(&["question_stem", "question"])?;
    let stem = asked.as_str().or_else(|| asked.get("stem")?.as_str());
    let stem = stem.ok_or_else(|| told!("eval.row_text", "{name} is no text", name = "question"))?;
    let lettered = match task {
        Task::Ceval | Task::Cmmlu | Task::Mmlu => 4,
        Task::CommonsenseQa => 5,
        _ => 0,
    };
    let (labels, texts) = labelled(keys, Some(asked).filter(|asked| asked.is_object()), lettered)?;
    let gold = gold(keys, &labels)?;
    if lettered > 0 && texts.len() != lettered {
        return Err(told!(
            "eval.row_letters",
            "the question has {found} choices, and {task} asks for one of {lettered} letters",
            found = texts.len(),
            task,
            lettered
        ));
    }
    let opening = match task {
        Task::Openbookqa => stem.to_string(),
        _ if lettered == 0 => format!("Question: {stem}\nAnswer:"),
        _ => {
            let shown: String =
                LETTERS.iter().zip(&texts).map(|(letter, text)| format!("\n{letter}. {text}")).collect();
            let (before, end) = match task {
                Task::CommonsenseQa => ("Question: ", "Answer:"),
                Task::Mmlu => ("", "Answer:"),
                _ => ("", "答案："),
            };
            format!("{before}{}{shown}\n{end}", strip(stem))
        }
    };
    let endings = match lettered {
        0 => texts,
        count => LETTERS.iter().take(count).map(ToString::to_string).collect(),
    };
    Ok(Question { openings: vec![opening], endings, gold, stem: stem.to_string(), row: keys.whole() })
}

fn piqa(keys: &mut Keys) -> Result<Question, Told> {
    let goal = keys.text(&["goal"])?;
    let endings = vec![keys.text(&["sol1"])?.to_string(), keys.text(&["sol2"])?.to_string()];
    let gold = keys.number(&["label"], 0)?;
    let opening = format!("Question: {goal}\nAnswer:");
    Ok(Question { openings: vec![opening], endings, gold, stem: goal.to_string(), row: keys.whole() })
}

fn siqa(keys: &mut Keys) -> Result<Question, Told> {
    let stem = format!("{} {}", keys.text(&["context"])?, keys.text(&["question"])?);
    let endings = ["answerA", "answerB", "answerC"].map(|name| keys.text(&[name]).map(str::to_string));
    let endings = endings.into_iter().collect::<Result<Vec<_>, _>>()?;
    let gold = keys.number(&["label"], 1)?;
    Ok(Question { openings: vec![format!("Q: {stem}\nA:")], endings, gold, stem, row: keys.whole() })
}

fn hellaswag(keys: &mut Keys) -> Result<Question, Told> {
    let (label, first) = (keys.text(&["activity_label"])?, keys.text(&["ctx_a"])?);
    let opening = plain(&format!("{label}: {first} {}", capitalized(keys.text(&["ctx_b"])?)));
    let list = keys.value(&["endings"])?.as_array().and_then(|list| texts(list));
    let list = list.ok_or_else(|| told!("eval.row_text", "{name} is no text", name = "endings"))?;
    let endings = list.iter().map(|text| plain(text)).collect();
    let gold = keys.number(&["label"], 0)?;
    Ok(Question { stem: opening.clone(), openings: vec![opening], endings, gold, row: keys.whole() })
}

/// Without what stands in brackets, which comes of WikiHow.
fn plain(text: &str) -> String {
    let text = strip(text).replace(" [title]", ". ");
    let (mut kept, mut rest) = (String::new(), text.as_str());
    while let Some(open) = rest.find('[') {
        let close = rest[open..].find([']', '\n']).filter(|at| rest[open + at..].starts_with(']'));
        let end = close.map_or(open + 1, |at| open + at + 1);
        kept.push_str(&rest[..close.map_or(end, |_| open)]);
        rest = &rest[end..];
    }
    (kept + rest).replace("  ", " ")
}

fn winogrande(keys: &mut Keys) -> Result<Question, Told> {
    let sentence = keys.text(&["sentence"])?;
    let Some((before, behind)) = sentence.split_once('_') else {
        return Err(told!("eval.row_blank", "the sentence has no _ to be filled"));
    };
    let options = [keys.text(&["option1"])?, keys.text(&["option2"])?];
    let openings = options.map(|option| format!("{before}{option}")).to_vec();
    let gold = keys.number(&["answer"], 1)?;
    let ending = strip(behind).to_string();
    Ok(Question { openings, endings: vec![ending], gold, stem: sentence.to_string(), row: keys.whole() })
}

fn gsm8k(keys: &mut Keys) -> Result<Question, Told> {
    let (stem, answer) = (keys.text(&["question"])?, keys.text(&["answer"])?);
    let opening = format!("Question: {stem}\nAnswer:");
    let endings = vec![answer.to_string()];
    Ok(Question { openings: vec![opening], endings, gold: 0, stem: stem.to_string(), row: keys.whole() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(task: Task, row: Value) -> Result<Taken<Question>, Told> {
        read_question(task, row.as_object().unwrap())
    }

    #[test]
    fn one_question_has_many_forms() {
        let forms = [
            json!({"question": "Where does the Lumo sleep?", "choices": ["in a cup", "in the sea"], "answer": 1}),
            json!({"question": {"stem": "Where does the Lumo sleep?", "choices": [
                {"label": "1", "text": "in a cup"}, {"label": "2", "text": "in the sea"}]}, "answerKey": "2"}),
            json!({"question_stem": "Where does the Lumo sleep?",
                "choices": {"text": ["in a cup", "in the sea"], "label": ["A", "B"]}, "answerKey": " B"}),
        ];
        for form in forms {
            let (question, unused) = read(Task::Openbookqa, form).unwrap();
            assert_eq!(question.openings, ["Where does the Lumo sleep?"]);
            assert_eq!((question.choice(1).1, question.gold), ("in the sea", 1));
            assert_eq!((question.characters(), unused), (vec![8, 10], Vec::<String>::new()));
        }
        let row = json!({"id": 3, "Question": " 露玛睡在哪里？\n", "A": "杯", "B": "海", "C": "山", "D": "云", "Answer": "D",
            "explanation": "x"});
        let (question, unused) = read(Task::Cmmlu, row).unwrap();
        assert_eq!(question.openings[0], "露玛睡在哪里？\nA. 杯\nB. 海\nC. 山\nD. 云\n答案：");
        assert_eq!((question.endings.len(), question.gold), (4, 3));
        assert_eq!(unused, ["explanation"]);
    }

    #[test]
    fn brackets_of_wikihow_go_and_openings_vary() {
        assert_eq!(plain(" Lumos [title] Feed [step]it  now [open\n] "), "Lumos. Feed it now [open\n]");
        assert_eq!(plain("a [b] c [d"), "a c [d");
        let row = json!({"sentence": "Tavi fed Nib because _ was hungry .", "option1": "Tavi", "option2": "Nib",
            "answer": "2"});
        let (question, _) = read(Task::Winogrande, row).unwrap();
        assert_eq!(question.choice(1), ("Tavi fed Nib because Nib", "was hungry ."));
        assert_eq!((question.choices(), question.gold, question.characters()), (2, 1, vec![25, 24]));
    }

    #[test]
    fn what_a_row_lacks_is_told() {
        let told = |task: Task, row: Value| read(task, row).unwrap_err().to_string();
        assert_eq!(told(Task::Piqa, json!({"goal": "x", "sol1": "y", "label": 0})), "the row has no sol2");
        assert_eq!(told(Task::Winogrande, json!({"sentence": "x"})), "the sentence has no _ to be filled");
        let choices = json!({"question": "q", "choices": ["a", "b"], "answer": ""});
        assert!(told(Task::ArcEasy, choices).starts_with("the answer '' is none of the labels A, B;"));
        let few = json!({"question": "q", "choices": ["a", "b"], "answer": 0});
        assert!(told(Task::Mmlu, few.clone()).contains("has 2 choices, and mmlu asks for one of 4 letters"));
        assert!(read(Task::ArcEasy, few).is_ok());
        let beyond = json!({"question": "q", "choices": ["a", "b"], "answer": 2});
        assert!(told(Task::ArcEasy, beyond).contains("none of the choices"));
        assert_eq!(told(Task::Siqa, json!({"context": 3})), "context is no text");
    }
}
