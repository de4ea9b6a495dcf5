//! A stage for whoever tries Postroad out from outside: a folder that goes again, child processes
//! that are stopped again, and a deployment on both. Measures nothing and tells nothing.

mod child;
mod deployment;
mod folder;

pub(crate) use child::{Child, program};
pub(crate) use deployment::{Agent, DIR, Deployment, start_up, up_command};
pub(crate) use folder::Folder;
