//! How much is measured: every count and time of a run, in full and in quick. Owns numbers only.

use std::time::Duration;

/// Bytes of content in every message that is sent or published.
pub(crate) const CONTENT_BYTES: usize = 512;
/// Sends in flight at once, one row of figures each.
pub(crate) const IN_FLIGHT: [usize; 3] = [1, 16, 256];
/// Agents that send at the same time, each over its own connection.
pub(crate) const SENDERS: usize = 4;
/// Messages that a check asks for, whether ten are unread or a hundred thousand: its cost is to
/// depend on what it returns.
pub(crate) const CHECK_LIMIT: usize = 10;

/// The counts of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Starts of a new deployment.
    pub(crate) starts: usize,
    /// Rounds of everything that is measured in turns with its ceiling.
    pub(crate) rounds: usize,
    /// How long one turn under load takes.
    pub(crate) turn: Duration,
    /// Messages of one turn whose push is waited for.
    pub(crate) pushes: usize,
    /// Checks of one turn.
    pub(crate) checks: usize,
    /// Messages that lie unread, and then read.
    pub(crate) backlog: usize,
    /// Times that the log is folded anew.
    pub(crate) folds: usize,
    /// Credentials that are revoked.
    pub(crate) revocations: usize,
    /// Questions for ids of either kind, of each verb.
    pub(crate) probes: usize,
    /// Events that are folded with and without their seals, and how many times.
    pub(crate) opened: usize,
    pub(crate) openings: usize,
    /// Checks in peace, and as many under a flood.
    pub(crate) flood_checks: usize,
    /// Memories of the largest namespace: in a run of this group alone, and of others.
    pub(crate) memories: usize,
    pub(crate) memories_among_others: usize,
    /// Different contents that the model embeds.
    pub(crate) embedded: usize,
}

impl Plan {
    /// For figures that are to be kept: about four minutes on two cores.
    pub(crate) const FULL: Self = Self {
        starts: 5,
        rounds: 3,
        turn: Duration::from_secs(2),
        pushes: 150,
        checks: 300,
        backlog: 100_000,
        folds: 5,
        revocations: 10,
        probes: 2_000,
        opened: 50_000,
        openings: 9,
        flood_checks: 2_400,
        memories: 100_000,
        memories_among_others: 20_000,
        embedded: 400,
    };

    /// For a first look: the same figures with fewer samples, in less than a minute.
    pub(crate) const QUICK: Self = Self {
        starts: 3,
        rounds: 2,
        turn: Duration::from_millis(500),
        pushes: 50,
        checks: 100,
        backlog: 20_000,
        folds: 1,
        revocations: 3,
        probes: 200,
        opened: 10_000,
        openings: 3,
        flood_checks: 300,
        memories: 20_000,
        memories_among_others: 20_000,
        embedded: 100,
    };
}
