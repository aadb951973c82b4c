//! `merge --average`: one adapter of several people's, or one model of several.

use std::path::{Path, PathBuf};

use kindling::adapter::{Adapter, Averaged, Cut};
use kindling::checkpoint::{Checkpoint, put_tokenizer};
use kindling::error::Result;
use serde_json::{Value, json};

use super::merge::{MergeArgs, try_it};
use crate::adapted_run::{Merged, merge_as, name_from};
use crate::beside_model::BesideModel;
use crate::failure::Failure;
use crate::model_files::{adapter_tokenizer, at, is_torch, read_adapter, tell_others};
use crate::output::{self, Output};
use crate::run_dir::write_checkpoint;
use crate::shell_word::path_word;

/// Averages what is named: the adapters of `named` and of --adapter, or without any the models of --model.
///
/// # Errors
/// What cannot be averaged, by name.
pub fn run(args: &MergeArgs, named: &[PathBuf], output: Output) -> std::result::Result<(), Failure> {
    let adapters: Vec<PathBuf> = named.iter().chain(&args.adapter).cloned().collect();
    match (adapters.is_empty(), args.model.as_slice()) {
        (true, models) => of_models(args, models, output),
        (false, []) => of_adapters(args, &adapters, output),
        (false, [base]) => into_base(args, base, &adapters, output),
        (false, _) => Err(Failure::Usage(
            "--average takes adapters of one base, or several models and no adapters; leave out the adapters, or all \
             --model but the base's"
                .into(),
        )),
    }
}

fn checked(args: &MergeArgs, count: usize) -> Result<()> {
    match args.mean.problems(count) {
        problems if problems.is_empty() => Ok(()),
        problems => Err(kindling::error::Error::Config(problems)),
    }
}

/// Refuses what would not act on adapters alone.
fn refuse_idle(beside: &BesideModel, paths: &[PathBuf]) -> std::result::Result<(), Failure> {
    let has_torch = paths.iter().any(|path| is_torch(path));
    let said = [
        ("--tokenizer", beside.tokenizer.is_some()),
        ("--preset", beside.preset.is_some() && !has_torch),
        ("--model-config", beside.model_config.is_some() && !has_torch),
    ];
    let idle: Vec<&str> = said.into_iter().filter(|(_, idle)| *idle).map(|(flag, _)| flag).collect();
    match idle.is_empty() {
        true => Ok(()),
        false => Err(Failure::Usage(format!(
            "{} would not act, because adapters alone are averaged here; leave that out, or add --model BASE to merge the mean into \
             its base",
            idle.join(", ")
        ))),
    }
}

fn of_adapters(args: &MergeArgs, paths: &[PathBuf], output: Output) -> std::result::Result<(), Failure> {
    checked(args, paths.len())?;
    refuse_idle(&args.beside, paths)?;
    let open = |path: &PathBuf| Ok((path.display().to_string(), open_any(path, &args.beside)?));
    let opened = paths.iter().map(open).collect::<Result<Vec<_>>>()?;
    let averaged = Adapter::average(&opened, &args.mean)?;
    tell(&averaged, output);
    let mut files = averaged.adapter.files()?;
    if let Some(tokenizer) = tokenizer_of(paths)? {
        put_tokenizer(&mut files, &tokenizer)?;
    }
    write_checkpoint(&args.out, &files)?;
    let base = averaged.adapter.config.base.as_ref().map(|base| base.hex().to_string());
    output.json(&json!({
        "out": args.out.to_string_lossy(), "adapters": names(paths), "base": base,
        "rank": averaged.adapter.config.lora.rank, "cut": averaged.cut.as_ref().map(cut_json),
    }));
    let out = path_word(&args.out);
    output.line(&args.out.display().to_string());
    let base = averaged.adapter.config.base_name.unwrap_or_else(|| "BASE".into());
    output.say(&format!("try it: kindling chat --model {} --adapter {out}", path_word(Path::new(&base))));
    Ok(())
}

fn into_base(
    args: &MergeArgs,
    base: &Path,
    paths: &[PathBuf],
    output: Output,
) -> std::result::Result<(), Failure> {
    checked(args, paths.len())?;
    if let Some(path) = paths.iter().find(|path| is_torch(path)) {
        return Err(Failure::Usage(format!(
            "{}: the adapter in a PyTorch file is averaged without --model; leave that out, and merge the mean into it then",
            path.display()
        )));
    }
    let mut checkpoint = args.beside.open(base)?;
    checkpoint.config = checkpoint.config.with_parent(&name_from(&args.out, base));
    let mut cut = None;
    let Merged { files, base, remark } = merge_as(checkpoint, base, paths, |opened| {
        let named: Vec<(String, Adapter)> =
            opened.into_iter().map(|(path, adapter)| (path.display().to_string(), adapter)).collect();
        let averaged = Adapter::average(&named, &args.mean)?;
        tell(&averaged, output);
        cut = averaged.cut;
        Ok(vec![(args.out.clone(), averaged.adapter)])
    })?;
    if let Some(remark) = remark {
        output.say(&remark);
    }
    write_checkpoint(&args.out, &files)?;
    output.json(&json!({
        "out": args.out.to_string_lossy(), "adapters": names(paths), "base": base.hex(), "cut": cut.as_ref().map(cut_json),
    }));
    try_it(&args.out, output);
    Ok(())
}

fn of_models(args: &MergeArgs, paths: &[PathBuf], output: Output) -> std::result::Result<(), Failure> {
    checked(args, paths.len())?;
    let open = |path: &PathBuf| Ok((path.display().to_string(), args.beside.open(path)?));
    let opened = paths.iter().map(open).collect::<Result<Vec<_>>>()?;
    let averaged = Checkpoint::average(&opened, &args.mean)?;
    averaged.remarks.iter().for_each(|remark| output.warn(remark));
    // The card tells of the first, whose tokenizer and settings are kept.
    let Some((mut first, path)) = opened.into_iter().map(|(_, model)| model).zip(paths).next() else {
        return Ok(());
    };
    first.config = first.config.with_parent(&name_from(&args.out, path));
    write_checkpoint(&args.out, &first.files_with(&averaged.weights)?)?;
    output.json(&json!({"out": args.out.to_string_lossy(), "models": names(paths)}));
    try_it(&args.out, output);
    Ok(())
}

/// Opens an adapter, also one of MiniMind's files.
fn open_any(path: &Path, beside: &BesideModel) -> Result<Adapter> {
    if !is_torch(path) {
        let adapter = read_adapter(path)?;
        tell_others(path)?;
        return Ok(adapter);
    }
    let files = beside.minimind(path)?;
    Adapter::open(|name| Ok(files.get(name).cloned())).map_err(|e| at(path, e))
}

/// The tokenizer of the first adapter that has one; what others say otherwise is told.
fn tokenizer_of(paths: &[PathBuf]) -> Result<Option<kindling::tokenizer::Tokenizer>> {
    let mut kept: Option<(&Path, kindling::tokenizer::Tokenizer)> = None;
    for path in paths.iter().filter(|path| !is_torch(path)) {
        let Some(own) = adapter_tokenizer(path)? else { continue };
        match &kept {
            None => kept = Some((path, own)),
            Some((first, tokenizer)) if tokenizer.chat_template() != own.chat_template() => {
                output::warn(&format!(
                    "the adapters {} and {} were trained with different chat templates; the first one's is kept",
                    first.display(),
                    path.display()
                ));
            }
            Some(_) => {}
        }
    }
    Ok(kept.map(|(_, tokenizer)| tokenizer))
}

fn tell(averaged: &Averaged, output: Output) {
    averaged.remarks.iter().for_each(|remark| output.warn(remark));
    match &averaged.cut {
        None => output.say(&format!(
            "the mean is exact, of rank {}; --rank makes it smaller",
            averaged.adapter.config.lora.rank
        )),
        Some(Cut { from, rank, error, worst: (layer, most) }) => output.say(&format!(
            "cut from rank {from} to {rank}: the relative error is {error:.4} over all layers, and {most:.4} at most, in {layer}"
        )),
    }
}

fn cut_json(cut: &Cut) -> Value {
    json!({"from": cut.from, "rank": cut.rank, "error": cut.error, "worst_layer": cut.worst.0, "worst_error": cut.worst.1})
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.display().to_string()).collect()
}
