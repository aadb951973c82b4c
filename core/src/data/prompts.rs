//! Rows to go on from, out of every kind of file that rows to train on may stand in.

use std::sync::Arc;

use super::accepted::read_accepted;
use super::file::DataFile;
use super::options::DataOptions;
use super::report::{DataReport, RowOrigin};
use super::source::Source;
use crate::error::Result;
use crate::text::{Parsed, Prompt};
use crate::told::Told;

/// Reads the prompts of all files, in their order, up to the limit of the options. `accept` makes of each what the
/// caller needs, or says why it cannot be used; `settings` are keys of the rows that it reads.
///
/// # Errors
/// [`BadRows`](crate::error::Error::BadRows) with all bad rows counted and the first five named, unless they are skipped;
/// [`Data`](crate::error::Error::Data) for a file that holds no prompts, and if no usable row is left;
/// [`Io`](crate::error::Error::Io) if reading fails.
pub fn read_prompts<T>(
    sources: Vec<Arc<dyn Source>>,
    options: DataOptions,
    settings: &[&'static str],
    mut accept: impl FnMut(Prompt, &RowOrigin) -> Result<T, Told>,
) -> Result<(Vec<(RowOrigin, T)>, DataReport)> {
    let options = Arc::new(options);
    let open = |source| DataFile::open_prompts(source, Arc::clone(&options));
    let empty = |name: &str| -> Told { format!("{name}: the file holds no prompts").into() };
    let read = |file: &DataFile,
                bytes: Result<&[u8], &Told>,
                origin: &RowOrigin,
                report: &mut DataReport|
     -> Result<T, Told> {
        let prompt = file.prompt(bytes, settings)?;
        let (row, unused) = (prompt.row.clone(), prompt.unused.clone());
        let parsed = Parsed { row, warnings: Vec::new(), unused, joined: false };
        let parsed = parsed.with_keys_read(&options.template_keys);
        let accepted = accept(prompt, origin)?;
        report.add_usable(&parsed, origin);
        Ok(accepted)
    };
    read_accepted(sources, &options, open, read, empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;
    use crate::data::dataset::tests::{skipping, source};
    use crate::text::Row;

    /// Each prompt's place and texts; those that hold a `!` are not accepted.
    fn read(files: &[(&str, &str)], options: DataOptions) -> Result<(Vec<String>, DataReport)> {
        let sources = files.iter().map(|(name, text)| source(name, *text)).collect();
        let accept = |prompt: Prompt, _: &RowOrigin| {
            let texts = prompt.row.texts().collect::<Vec<_>>().join("|");
            if texts.contains('!') { Err("it shouts".into()) } else { Ok(texts) }
        };
        let (prompts, report) = read_prompts(sources, options, &[], accept)?;
        Ok((prompts.into_iter().map(|(origin, texts)| format!("{origin} {texts}")).collect(), report))
    }

    fn refusal(files: &[(&str, &str)]) -> String {
        read(files, DataOptions::default()).err().map_or("read".to_string(), |error| error.to_string())
    }

    #[test]
    fn prompts_stand_in_every_kind_of_file() {
        let lines = "\u{FEFF}{\"prompt\": \"one\"}\r\n\n{\"question\": \"two\", \"answer\": \"a\"}\n";
        let list = "[{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}]},\n\"bare\"]";
        let csv = "ID,Question,Answer\n7,\"what, \",none\n";
        let (prompts, report) =
            read(&[("a.jsonl", lines), ("b.json", list), ("c.csv", csv)], DataOptions::default()).unwrap();
        assert_eq!(
            prompts,
            ["a.jsonl:1 one", "a.jsonl:3 two", "b.json:1 q", "b.json:2 bare", "c.csv:2 what, "]
        );
        assert_eq!((report.rows, report.documents, report.conversations), (5, 2, 3));
        assert_eq!(report.unused_keys["answer"].rows, 2);
        let two = read(&[("a.jsonl", lines)], DataOptions { limit: Some(1), ..DataOptions::default() });
        assert_eq!(two.unwrap().0, ["a.jsonl:1 one"]);
    }

    #[test]
    fn the_text_may_stand_under_another_name() {
        let options = DataOptions { text_column: Some("body".into()), ..DataOptions::default() };
        let files = [("a.csv", "id,Body\n1,x\n"), ("a.jsonl", "{\"body\": \"y\"}")];
        assert_eq!(read(&files, options).unwrap().0, ["a.csv:2 x", "a.jsonl:1 y"]);
    }

    #[test]
    fn bad_rows_are_named_whoever_finds_them_and_can_be_skipped() {
        let text = "{\"prompt\": \"one\"}\n{\"prompt\": \"two!\"}\n{\"q\": 3}\n";
        let message = refusal(&[("a.jsonl", text)]);
        assert!(message.starts_with("2 of the data's rows cannot be used"), "{message}");
        assert!(message.contains("a.jsonl:2: it shouts") && message.contains("--skip-bad-rows"), "{message}");
        assert!(message.contains("a.jsonl:3: q must be a string, found a number"), "{message}");
        let (prompts, report) = read(&[("a.jsonl", text)], skipping()).unwrap();
        assert_eq!((prompts, report.bad), (vec!["a.jsonl:1 one".to_string()], 2));
    }

    #[test]
    fn files_without_prompts_are_refused() {
        assert!(
            refusal(&[("a.txt", "once")]).contains("a.txt: nothing tells where a prompt of plain text ends")
        );
        assert_eq!(refusal(&[("a.jsonl", "\n \n")]), "a.jsonl: the file holds no prompts");
        let header = refusal(&[("a.csv", "id,body\n1,2\n")]);
        assert!(
            header.contains("a.csv:1: the first line must name the columns: expected one of prompt"),
            "{header}"
        );
        assert!(header.ends_with("; found columns id, body"), "{header}");
        let all_bad = read(&[("a.jsonl", "{\"prompt\": \"!\"}")], skipping()).err().unwrap().to_string();
        assert!(all_bad.starts_with("no row of the data is left: of 1, 1 are bad"), "{all_bad}");
    }

    #[test]
    fn a_row_is_read_as_rows_to_train_on_are() {
        let row = "{\"instruction\": \"add\", \"input\": \"1, 2\", \"output\": \"3\", \"system\": \"s\"}";
        let sources = vec![source("a.jsonl", row)];
        let rows = |prompt: Prompt, _: &RowOrigin| Ok(prompt.row);
        let (prompts, _) = read_prompts(sources, DataOptions::default(), &[], rows).unwrap();
        let data = Dataset::open(vec![source("a.jsonl", row)], DataOptions::default()).unwrap();
        let trained = data.row(0).unwrap().unwrap().0;
        let (Row::Conversation(asked), Row::Conversation(trained)) = (&prompts[0].1, &trained) else {
            panic!("documents")
        };
        assert_eq!(asked.messages, trained.messages[..2]);
    }
}
