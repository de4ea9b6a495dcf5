//! The tools, one file each or a small family. Owns what each takes and says; carrying it out is the
//! client library's.

mod get_message;
mod history;
mod inbox;
mod mark_as_read;
mod message_status;
mod people;
mod send_message;
mod set_summary;

pub(crate) use get_message::GetMessage;
pub(crate) use history::ListMessages;
pub(crate) use inbox::{CheckMessages, WaitForMessages};
pub(crate) use mark_as_read::MarkAsRead;
pub(crate) use message_status::MessageStatus;
pub(crate) use people::{ListPeers, Whoami};
pub(crate) use send_message::SendMessage;
pub(crate) use set_summary::SetSummary;

/// What is said where the log is damaged.
pub(crate) const STALE: &str =
    "\n(The log is damaged: what is shown is right, but may not be all. Tell your operator.)";
