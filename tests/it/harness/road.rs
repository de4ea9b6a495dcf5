//! One deployment of either kind, for promises that must hold in both: everything in one process
//! with one shard, and every part a process of its own with several shards.

use super::cli::{self, Ran};
use super::fleet::Fleet;
use super::{Deployment, connect, issue};
use postroad_client::Client;
use postroad_protocol::TenantId;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

/// Shards of a deployment whose parts are separate.
const SHARDS: u16 = 3;

/// A running deployment.
pub struct Road {
    kind: Kind,
    /// Tenants so far; each goes into another shard than the one before.
    tenants: AtomicU16,
}

enum Kind {
    OneProcess(Deployment),
    SeparateProcesses(Fleet),
}

impl Road {
    /// `postroad up`.
    pub fn one_process() -> Self {
        Self {
            kind: Kind::OneProcess(Deployment::start()),
            tenants: AtomicU16::new(0),
        }
    }

    /// Two brokers and two projectors over several shards; the tenant `default` in the last of them.
    pub async fn separate_processes() -> Self {
        let fleet = Fleet::start(SHARDS, 2, 2);
        fleet.tenant("default", SHARDS - 1).await;
        Self {
            kind: Kind::SeparateProcesses(fleet),
            tenants: AtomicU16::new(0),
        }
    }

    /// DIR.
    pub fn path(&self) -> PathBuf {
        match &self.kind {
            Kind::OneProcess(deployment) => deployment.path(),
            Kind::SeparateProcesses(fleet) => fleet.path(),
        }
    }

    /// A folder of the test's own.
    pub fn folder(&self) -> PathBuf {
        match &self.kind {
            Kind::OneProcess(deployment) => deployment.dir.path().to_owned(),
            Kind::SeparateProcesses(fleet) => fleet.dir.path().to_owned(),
        }
    }

    /// Where agents connect.
    pub fn url(&self) -> &str {
        match &self.kind {
            Kind::OneProcess(deployment) => &deployment.url,
            Kind::SeparateProcesses(fleet) => &fleet.url,
        }
    }

    /// Runs `postroad` with `args` on this deployment.
    pub fn run(&self, args: &[&str]) -> Ran {
        cli::run_in(&self.path(), args, "")
    }

    /// The same, as whoever holds the credential in this file; answered in JSON.
    pub fn run_as(&self, creds: &str, args: &[&str]) -> Ran {
        cli::run_as(&self.path(), self.url(), creds, args)
    }

    /// The operator's client.
    pub async fn operator(&self) -> Client {
        let creds = std::fs::read_to_string(self.path().join("operator.creds"));
        connect(self.url(), &creds.expect("operator.creds"), None).await
    }

    /// Creates a tenant; where there are several shards, in another one than the tenant before.
    pub async fn tenant(&self, name: &str) -> TenantId {
        match &self.kind {
            Kind::OneProcess(deployment) => deployment.tenant(name).await,
            Kind::SeparateProcesses(fleet) => {
                let number = self.tenants.fetch_add(1, Ordering::Relaxed);
                fleet.tenant(name, number % SHARDS).await
            }
        }
    }

    /// Issues a credential; the text of its `.creds` file.
    pub async fn creds(&self, tenant: &str, role: &str, instance: Option<&str>) -> String {
        issue(&self.operator().await, tenant, role, instance).await
    }
}

/// Makes each promise, an `async fn` that takes a [`Road`], two tests: one a kind of deployment.
macro_rules! promised_by_both_kinds {
    ($($promise:ident),+ $(,)?) => {
        mod by_one_process {
            $(#[tokio::test]
            async fn $promise() {
                super::$promise($crate::harness::road::Road::one_process()).await;
            })+
        }
        mod by_separate_processes_with_several_shards {
            $(#[tokio::test]
            async fn $promise() {
                super::$promise($crate::harness::road::Road::separate_processes().await).await;
            })+
        }
    };
}
pub(crate) use promised_by_both_kinds;
