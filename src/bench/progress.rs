//! Says on stderr how far a run is: a bar on a terminal, a line for each group elsewhere. Never
//! writes to stdout, which belongs to the figures.

use crate::cli::output::say;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// How often the bar moves by itself, so that a long step is seen to be alive.
const TICK: Duration = Duration::from_millis(120);

/// The run's progress. Clones move the same bar; the run clears it when all is measured.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Begins to show.
    pub(crate) fn start() -> Self {
        let bar = ProgressBar::new(1);
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// A group of figures begins, of so many steps.
    pub(crate) fn group(&self, name: &str, steps: usize) {
        self.begin(
            name,
            steps,
            "{elapsed_precise} {prefix:12} [{bar:24}] {msg}",
        );
        if self.bar.is_hidden() {
            say(&format!("measuring: {name}"));
        }
    }

    /// Something of so many small parts begins.
    pub(crate) fn count(&self, name: &str, parts: usize) {
        self.begin(
            name,
            parts,
            "{elapsed_precise} {prefix:12} [{bar:24}] {human_pos}/{human_len} ({per_sec}) {msg}",
        );
    }

    fn begin(&self, name: &str, length: usize, template: &str) {
        let style = ProgressStyle::with_template(template);
        let style = style.expect("the template is one of the two above");
        self.bar.set_style(style.progress_chars("=> "));
        self.bar.reset();
        self.bar.set_length(length as u64);
        self.bar.set_prefix(name.to_owned());
        self.bar.set_message("");
    }

    /// What is being done now.
    pub(crate) fn says(&self, what: impl Into<String>) {
        self.bar.set_message(what.into());
    }

    /// One step, or part, is done.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }

    /// Nothing more is measured.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// So many parts are done.
    pub(crate) fn parts(&self, count: usize) {
        self.bar.inc(count as u64);
    }
}
