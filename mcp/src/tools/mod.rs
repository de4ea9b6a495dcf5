//! The tools, one file each or a small family. Owns what each takes and says; carrying it out is the
//! client library's.

mod change_memory;
mod get_memory;
mod get_message;
mod history;
mod inbox;
mod list_memories;
mod mark_as_read;
mod message_status;
mod people;
mod recall;
mod search_messages;
mod send_message;
mod set_summary;
mod store_memory;
mod tasks;

pub(crate) use change_memory::{ForgetMemory, UpdateMemory};
pub(crate) use get_memory::GetMemory;
pub(crate) use get_message::GetMessage;
pub(crate) use history::ListMessages;
pub(crate) use inbox::{CheckMessages, WaitForMessages};
pub(crate) use list_memories::ListMemories;
pub(crate) use mark_as_read::MarkAsRead;
pub(crate) use message_status::MessageStatus;
pub(crate) use people::{ListPeers, Whoami};
pub(crate) use recall::Recall;
pub(crate) use search_messages::SearchMessages;
pub(crate) use send_message::SendMessage;
pub(crate) use set_summary::SetSummary;
pub(crate) use store_memory::StoreMemory;
pub(crate) use tasks::{
    AddDependency, BlockTask, CancelTask, ClaimTask, CompleteTask, CreateMission, CreateTask,
    FailTask, GetMission, GetTask, ListMissions, ListTasks, ReleaseTask, UpdateMission, UpdateTask,
};

/// What is said where the log is damaged.
pub(crate) const STALE: &str =
    "\n(The log is damaged: what is shown is right, but may not be all. Tell your operator.)";
