//! Every message of the engine, defined once: the engine writes it, the page reads it, and `web/js/kindling.d.ts` tells
//! other pages of it; `kindling serve --train` writes those of runs, too. Counts are JavaScript's numbers.
//!
//! What changes here changes there by `WRITE_TYPES=1 cargo test -p kindling-web --lib messages`.

#[macro_use]
mod declare;

pub mod chat;
pub mod diffusion;
pub mod evaluate;
pub mod model;
pub mod rows;
pub mod run;
pub mod told;

#[cfg(test)]
mod tests {
    use super::{chat, diffusion, evaluate, model, rows, run, told};

    const TYPES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../web/js/kindling.d.ts");
    const BEGIN: &str =
        "// From here on written by: WRITE_TYPES=1 cargo test -p kindling-web --lib messages\n";
    const END: &str = "\n// Up to here.\n";

    #[test]
    fn the_types_of_other_pages_are_those_of_the_engine() {
        let first = [told::declarations(), model::declarations(), chat::declarations()];
        let more = [diffusion::declarations(), rows::declarations(), evaluate::declarations()];
        let rest = [more.concat(), run::declarations()];
        let all = [first.concat(), rest.concat()].concat().join("\n\n");
        let text = std::fs::read_to_string(TYPES).unwrap();
        let (head, rest) = text.split_once(BEGIN).expect("the line where the written part begins");
        let (_, tail) = rest.split_once(END).expect("the line where the written part ends");
        let wanted = format!("{head}{BEGIN}\n{all}\n{END}{tail}");
        if std::env::var_os("WRITE_TYPES").is_some() {
            std::fs::write(TYPES, &wanted).unwrap();
            return;
        }
        let differs = text.lines().zip(wanted.lines()).find(|(is, should)| is != should);
        assert!(
            text == wanted,
            "web/js/kindling.d.ts is not that of web/src/messages ({differs:?}): {BEGIN}"
        );
    }

    #[test]
    fn no_name_is_declared_twice() {
        let text = std::fs::read_to_string(TYPES).unwrap();
        let declared = |line: &str| {
            let rest = line.strip_prefix("export interface ").or(line.strip_prefix("export type "))?;
            rest.split([' ', '=', '{']).next().map(String::from)
        };
        let mut names: Vec<String> = text.lines().filter_map(declared).collect();
        assert!(names.len() > 10, "{names:?}");
        names.sort();
        let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }
}
