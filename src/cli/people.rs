//! `peers`, `summary`, `whoami`: who is there, and who one is.

use super::failure::Failure;
use super::mail::STALE;
use super::output::{Style, table};
use super::own_status::Wake;
use super::session::{PAGE_LIMIT, Session, TenantsArg};
use super::shown;
use super::text::{one_line, relative};
use clap::Args;
use postroad_client::Page;
use postroad_protocol::TimeMs;
use postroad_protocol::query::{Peer, WhoAmI};
use serde::Serialize;

/// Show the agents of your tenant: who is online, and what they say they are doing.
///
/// With --tenant or --all-tenants the operator sees those of one tenant or of all; each such read is
/// written into the log of every tenant that it touches.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  postroad peers --as default/alice
  postroad peers --all-tenants")]
pub(crate) struct PeersArgs {
    /// Whose agents, for the operator
    #[command(flatten)]
    of: TenantsArg,
}

/// Say what you are doing, for others to see in `peers`; an empty text clears it.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postroad summary 'Reviewing PR #47'")]
pub(crate) struct SummaryArgs {
    /// One line, at most 1 KiB
    #[arg(allow_hyphen_values = true)]
    text: String,
}

/// Show as whom the deployment knows you, and how much mail is unread.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postroad whoami --creds alice.creds")]
pub(crate) struct WhoamiArgs {}

/// Answer of `peers`, for programs.
#[derive(Serialize)]
struct PeersDocument<'a> {
    peers: &'a [Peer],
}

pub(crate) async fn peers(session: &Session, args: &PeersArgs) -> Result<(), Failure> {
    let client = if args.of.is_operators() {
        session.operator().await?
    } else {
        session.agent().await?
    };
    let (mut peers, mut stale) = (Vec::new(), false);
    let mut page = Page::default().limit(PAGE_LIMIT);
    loop {
        let (more, next_cursor, is_stale) = if args.of.is_operators() {
            let operator = client.operator()?;
            let answer = operator.list_peers(args.of.tenant(), &page).await?;
            (answer.peers, answer.next_cursor, answer.stale)
        } else {
            let answer = client.list_peers(&page).await?;
            (answer.peers, answer.next_cursor, answer.stale)
        };
        peers.extend(more);
        stale |= is_stale;
        match next_cursor {
            Some(cursor) => page = page.after(cursor),
            None => break,
        }
    }
    let document = PeersDocument { peers: &peers };
    session
        .out
        .show(&document, |style| peers_table(style, &peers, TimeMs::now()))?;
    if stale {
        session.out.note(STALE);
    }
    Ok(())
}

fn peers_table(style: Style, peers: &[Peer], now: TimeMs) -> String {
    let has_tenant = peers.iter().any(|peer| peer.tenant_id.is_some());
    let row = |peer: &Peer| {
        let instance = peer.instance_id.as_ref();
        [
            peer.id.to_string(),
            instance.map_or("–".to_owned(), ToString::to_string),
            if peer.online { "yes" } else { "no" }.to_owned(),
            peer.last_seen
                .map_or("–".to_owned(), |seen| relative(seen, now)),
            peer.summary.as_deref().map(one_line).unwrap_or_default(),
        ]
    };
    let header = ["ROLE", "INSTANCE", "ONLINE", "LAST SEEN", "SUMMARY"];
    if !has_tenant {
        return table(style, header, peers.iter().map(row)) + &wakes(peers, now);
    }
    let tenant = |peer: &Peer| peer.tenant_id.as_ref().map(ToString::to_string);
    let with_tenant = |peer: &Peer| {
        let [role, instance, online, seen, summary] = row(peer);
        let tenant = tenant(peer).unwrap_or_default();
        [tenant, role, instance, online, seen, summary]
    };
    let header = [
        "TENANT",
        "ROLE",
        "INSTANCE",
        "ONLINE",
        "LAST SEEN",
        "SUMMARY",
    ];
    table(style, header, peers.iter().map(with_tenant)) + &wakes(peers, now)
}

/// How peers are woken, a line each, below the table: most are not.
fn wakes(peers: &[Peer], now: TimeMs) -> String {
    let mut lines = String::new();
    for peer in peers {
        let wake = Wake {
            watching: peer.watching,
            asked: peer.wake_asked_at,
            confirmed: peer.wake_confirmed_at,
        };
        let Some(told) = wake.told(now) else { continue };
        let instance = peer.instance_id.as_ref().map(ToString::to_string);
        let tenant = peer.tenant_id.as_ref().map(|tenant| format!("{tenant}: "));
        lines.push_str(&format!(
            "\n{}{}/{}: {told}",
            tenant.unwrap_or_default(),
            peer.id,
            instance.unwrap_or_default()
        ));
    }
    if lines.is_empty() {
        return lines;
    }
    format!("\n{lines}")
}

pub(crate) async fn summary(session: &Session, args: SummaryArgs) -> Result<(), Failure> {
    let done = session.agent().await?.set_summary(&args.text).await?;
    session.out.show(&done, |_| match args.text.as_str() {
        "" => "summary cleared".to_owned(),
        _ => "summary set; `postroad peers` shows it".to_owned(),
    })
}

pub(crate) async fn whoami(session: &Session) -> Result<(), Failure> {
    let who = session.anyone().await?.whoami().await?;
    session.out.show(&who, |style| identity(style, &who))
}

fn identity(style: Style, who: &WhoAmI) -> String {
    let name = format!("{}/{}", one_line(&who.role), who.instance_id);
    let mut text = style.strong(&name);
    match &who.tenant_id {
        Some(tenant) => text.push_str(&format!(" of tenant {}", one_line(tenant))),
        None => text.push_str(", for every tenant"),
    }
    if let Some(unread) = who.unread_total {
        let unread = shown::unread(unread, who.highest_priority);
        text.push_str(&format!("; {unread}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::event::Priority;

    #[test]
    fn peers_are_a_table_whatever_they_say_of_themselves() {
        let peer = |id: &str, instance: Option<&str>, summary: Option<&str>| Peer {
            tenant_id: None,
            id: id.parse().unwrap(),
            instance_id: instance.map(|name| name.parse().unwrap()),
            summary: summary.map(str::to_owned),
            last_seen: instance.map(|_| TimeMs(1_711_670_400_000)),
            online: instance.is_some(),
            watching: false,
            wake_asked_at: None,
            wake_confirmed_at: None,
        };
        let mut peers = [
            peer("alice", Some("tau-main"), Some("Migrating\u{1b}[2J")),
            peer("bob", None, None),
        ];
        let shown = peers_table(Style::PLAIN, &peers, TimeMs(1_711_670_460_000));
        insta::assert_snapshot!(shown, @r"
        ROLE   INSTANCE  ONLINE  LAST SEEN  SUMMARY
        alice  tau-main  yes     1m ago     Migrating\x1b[2J
        bob    –         no      –
        ");
        peers[0].watching = true;
        peers[0].wake_asked_at = Some(TimeMs(1_711_670_340_000));
        let of_acme = peers.map(|peer| Peer {
            tenant_id: Some("acme".parse().unwrap()),
            ..peer
        });
        let shown = peers_table(Style::PLAIN, &of_acme, TimeMs(1_711_670_460_000));
        insta::assert_snapshot!(shown, @r"
        TENANT  ROLE   INSTANCE  ONLINE  LAST SEEN  SUMMARY
        acme    alice  tau-main  yes     1m ago     Migrating\x1b[2J
        acme    bob    –         no      –

        acme: alice/tau-main: watched; woken 2m ago, not confirmed yet
        ");
    }

    #[test]
    fn one_is_told_who_one_is() {
        let who = |tenant: Option<&str>, unread, highest_priority| WhoAmI {
            tenant_id: tenant.map(str::to_owned),
            role: "tau".to_owned(),
            instance_id: "pi".parse().unwrap(),
            unread_total: unread,
            highest_priority,
            position: None,
            watching: false,
            wake_asked_at: None,
            wake_confirmed_at: None,
        };
        let told = identity(
            Style::PLAIN,
            &who(Some("acme"), Some(1), Some(Priority::Normal)),
        );
        assert_eq!(told, "tau/pi of tenant acme; 1 unread message");
        let told = identity(
            Style::PLAIN,
            &who(Some("acme"), Some(2), Some(Priority::High)),
        );
        assert_eq!(
            told,
            "tau/pi of tenant acme; 2 unread messages, the highest priority is high"
        );
        let told = identity(Style::PLAIN, &who(None, None, None));
        assert_eq!(told, "tau/pi, for every tenant");
    }
}
