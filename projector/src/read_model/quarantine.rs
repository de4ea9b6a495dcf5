//! Events that were set aside: undecodable ones and those that the fold refused. They change no
//! other row; an operator sees them by count and as a list.

use super::batch::BatchTables;
use super::keys::Prefix;
use super::table::{Row, Table};
use crate::store::StoreError;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QuarantineRow {
    reason: String,
    /// Whether only a build that did not know it had to set it aside.
    pub(super) undecodable: bool,
}

impl Row for QuarantineRow {
    type Key = u64;
    const TABLE: Table = Table::Quarantine;
}

/// One event that was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// Whose: a tenant's name, or `_sys` for the deployment's own and for what tells nobody's.
    pub owner: String,
    /// Where it is stored.
    pub sequence: u64,
    /// Why it changes nothing.
    pub reason: String,
}

impl QuarantineRow {
    pub(super) fn shown(self, owner: String, sequence: u64) -> Quarantined {
        Quarantined {
            owner,
            sequence,
            reason: self.reason,
        }
    }
}

/// Sets the event at `sequence` aside.
pub(crate) fn set_aside(
    tables: &mut BatchTables<'_>,
    owner: &Prefix,
    sequence: u64,
    reason: &str,
    undecodable: bool,
) -> Result<(), StoreError> {
    let row = QuarantineRow {
        reason: reason.to_owned(),
        undecodable,
    };
    tables.put(owner, &sequence, &row)?;
    tables.meta().count_quarantined(1, u64::from(undecodable))
}
