//! Where a masked predictor comes from: nothing begins as one, so a stage that shall train one without a model tells the way.

use kindling::loss::Predicts;
use kindling::train::Stage;

use super::train_args::TrainArgs;
use crate::failure::Failure;
use crate::run_kind::RunKind;

/// Refuses `--objective diffusion` where no model is named: neither a new model nor the generated example predicts masked
/// tokens.
///
/// # Errors
/// The commands that make one and train it.
pub fn refuse_new(kind: RunKind, args: &TrainArgs) -> Result<(), Failure> {
    let asked = args.train.diffusion.objective == Some(Predicts::Diffusion);
    match asked && args.model.is_none() && !args.resume {
        true => Err(Failure::Usage(way(kind))),
        false => Ok(()),
    }
}

/// The walk from nothing to a stage on hidden tokens, on the generated example.
fn way(kind: RunKind) -> String {
    // The rows of the example are called as their stage.
    let verb = match kind.stage {
        Stage::Pretrain => "pretrain",
        Stage::Sft | Stage::Dpo | Stage::Distill | Stage::Reason | Stage::Grpo => "sft",
    };
    let mut told = format!(
        "--objective diffusion trains a masked predictor, and no --model names one; a model that predicts the next token \
         becomes one:\n  kindling {verb} --out my/first\n  kindling convert --to diffusion --model my/first --out my/masked\n  \
         kindling {verb} --objective diffusion --model my/masked --data my/first/data/{verb}.jsonl --out my/diffusion"
    );
    if kind.adapts {
        told += &format!(
            "\nand then an adapter learns beside it:\n  kindling {} --model my/diffusion --data ROWS.jsonl",
            kind.command()
        );
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    #[test]
    fn every_command_of_the_way_is_sound() {
        for (stage, adapts, commands) in [
            (Stage::Sft, false, 3),
            (Stage::Pretrain, false, 3),
            (Stage::Sft, true, 4),
            (Stage::Pretrain, true, 4),
        ] {
            let told = way(RunKind { stage, adapts });
            let lines: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("  ")).collect();
            assert_eq!(lines.len(), commands, "{told}");
            for line in lines {
                let parsed = command().try_get_matches_from(line.split(' '));
                assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            }
        }
    }
}
