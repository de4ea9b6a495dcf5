//! `set_summary`: what the caller is doing, for its peers.

use crate::answer::Answer;
use crate::caller::Caller;
use crate::frame::quoted;
use crate::registry::{Effect, Tool};
use postroad_client::ClientError;
use postroad_protocol::tenancy::Scope;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `set_summary`.
pub(crate) struct SetSummary;

/// Its arguments.
#[derive(Deserialize, JsonSchema)]
pub(crate) struct Args {
    /// One line, at most 1 KiB; empty clears it
    summary: String,
}

/// Its answer.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Output {
    summary: String,
}

impl Tool for SetSummary {
    const NAME: &'static str = "set_summary";
    const TITLE: &'static str = "Set your summary";
    const ABOUT: &'static str = "Says what you are doing, for list_peers.";
    const SCOPE: Scope = Scope::Own;
    const EFFECT: Effect = Effect::Sets;
    type Args = Args;
    type Output = Output;

    async fn call(caller: &Caller, args: Args) -> Result<Answer<Output>, ClientError> {
        caller.client().set_summary(&args.summary).await?;
        let text = format!("Your summary is now {}", quoted(&args.summary));
        let summary = args.summary;
        Ok(Answer::new(Output { summary }, text))
    }
}
