//! One deployment on this machine: its directory, its keys, and the nats-server that `up` supervises.
//!
//! | module | owns |
//! |---|---|
//! | [`layout`] | paths below DIR, modes, atomic writes |
//! | [`lock`] | one `up` per DIR |
//! | [`keys`] | the secrets: made once, loaded ever after |
//! | [`master_key`] | the one of them that wraps data keys |
//! | [`master_source`] | where a process has that one from |
//! | [`grant`] | which credential somebody is to get |
//! | [`jwt`] | what is claimed and who signs it |
//! | [`accounts`] | the account JWTs that the server finds when it starts |
//! | [`certificate`] | what the server shows over TLS, and whether clients take it |
//! | [`nats_binary`] | which nats-server to run |
//! | [`nats_config`] | its configuration |
//! | [`disk`] | how many bytes the log may take |
//! | [`nats_server`] | starting, watching, restarting and stopping it |
//! | [`staging`] | where it keeps batches that are not committed yet |
//! | [`server_log`] | its last words, when it does not start |
//! | [`leftover`] | the server of an `up` that was killed |
//! | [`session`] | credentials for one sitting on this machine |
//! | [`embedded`] | the order in which `up` uses all of these |
//!
//! Never decides who may have a credential, and never looks into the log.

pub(crate) mod accounts;
pub(crate) mod certificate;
pub(crate) mod disk;
pub(crate) mod embedded;
pub(crate) mod grant;
pub(crate) mod jwt;
pub(crate) mod keys;
pub(crate) mod layout;
pub(crate) mod leftover;
pub(crate) mod lock;
pub(crate) mod master_key;
pub(crate) mod master_source;
pub(crate) mod nats_binary;
pub(crate) mod nats_config;
pub(crate) mod nats_server;
mod server_log;
mod session;
mod staging;

#[cfg(test)]
mod tests;

pub(crate) use session::mint_session;
