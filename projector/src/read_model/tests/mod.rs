//! Promises of the rows, told as events and what is read after them.

mod agents;
mod costs;
mod erasure;
mod exactly_once;
mod histories;
mod history;
mod inbox;
mod memories;
mod memory_worlds;
mod model;
mod overview;
mod priorities;
mod receipts;
mod superseded;
mod task_costs;
mod task_model;
mod task_worlds;
mod tasks;
