//! Scores a folder of memories and judged queries: `make recall-bench FOLDER=…`.
//!
//! The folder holds `memories.jsonl` (`{id, namespace, type, created_by, content, episode?, occurredAt?}`, in writing order) and
//! `queries.jsonl` (`{id, namespace, query, relevant: {memory id: 1}}`). Printed are, for words alone, meaning alone and both, what share of the
//! relevant memories is among the first 5, 10 and 20, and how long a search takes.

#![expect(clippy::print_stdout, reason = "what it measures goes there")]

mod measure;
mod scale;
mod set;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use comfy_table::{CellAlignment, Table, presets};
use postroad_recall::model::Embedder;

use measure::{Mode, Scores, measure};
use set::Set;

const USAGE: &str = "usage: recall_bench FOLDER [--model FOLDER] [--cache FOLDER] [--runs FOLDER] [--scale MEMORIES]";

/// What the command line asks for.
#[derive(Default)]
struct Arguments {
    folder: PathBuf,
    /// Where the model's files are.
    model: Option<PathBuf>,
    /// Where vectors are kept from run to run.
    cache: Option<PathBuf>,
    /// Where the rankings go, a file a mode.
    runs: Option<PathBuf>,
    /// How many memories to time a search among.
    scale: Option<u32>,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(told) => {
            eprintln!("{told}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("recall_bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments::default();
    let mut given = std::env::args_os().skip(1);
    while let Some(word) = given.next() {
        let mut value = || {
            given
                .next()
                .ok_or(format!("{} needs a value", word.display()))
        };
        match word.to_str() {
            Some("--model") => arguments.model = Some(value()?.into()),
            Some("--cache") => arguments.cache = Some(value()?.into()),
            Some("--runs") => arguments.runs = Some(value()?.into()),
            Some("--scale") => {
                let many = value()?.to_str().and_then(|many| many.parse().ok());
                arguments.scale = Some(many.ok_or("--scale takes a number of memories")?);
            }
            Some(option) if option.starts_with("--") => {
                return Err(format!("there is no option {option}"));
            }
            _ if arguments.folder.as_os_str().is_empty() => arguments.folder = word.into(),
            _ => return Err("only one folder can be scored".into()),
        }
    }
    if arguments.folder.as_os_str().is_empty() {
        Err("no folder was named".into())
    } else {
        Ok(arguments)
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let embedder = match arguments.model.as_deref().map(Embedder::load) {
        Some(Ok(embedder)) => Some(embedder),
        Some(Err(error)) => {
            eprintln!("recall_bench: words alone, without a model: {error}");
            None
        }
        None => None,
    };
    let set = Set::read(
        &arguments.folder,
        embedder.as_ref(),
        arguments.cache.as_deref(),
    )?;
    println!("{}", set.describe());
    let modes: &[Mode] = if embedder.is_some() {
        &[Mode::Words, Mode::Meaning, Mode::Both]
    } else {
        &[Mode::Words]
    };
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(Scores::HEADER);
    for mode in modes {
        let scores = measure(&set, *mode, embedder.as_ref())?;
        if let Some(folder) = &arguments.runs {
            scores.write_run(folder, *mode)?;
        }
        table.add_row(scores.row(mode.name()));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    if let Some(memories) = arguments.scale {
        println!("{}", scale::measure(&set, memories, embedder.as_ref())?);
    }
    Ok(())
}
