//! `status` of an agent: its own mail, and how it is woken. Owns how a wake is told; asks `whoami` alone.

use super::failure::Failure;
use super::output::Style;
use super::session::Session;
use super::shown;
use super::text::{one_line, relative};
use postroad_client::Client;
use postroad_protocol::TimeMs;
use postroad_protocol::query::WhoAmI;

/// What is known of how an agent is woken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wake {
    /// Whether a watcher is there.
    pub(crate) watching: bool,
    /// When the agent was last started.
    pub(crate) asked: Option<TimeMs>,
    /// When it last was seen to deal with its mail, having been started.
    pub(crate) confirmed: Option<TimeMs>,
}

impl Wake {
    /// In a few words; nothing where the agent is not woken by anybody.
    pub(crate) fn told(self, now: TimeMs) -> Option<String> {
        let watched = self.watching.then(|| "watched".to_owned());
        let parts: Vec<String> = watched.into_iter().chain(self.last(now)).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// The last wake, if there was one.
    fn last(self, now: TimeMs) -> Option<String> {
        let asked = self.asked?;
        let woken = format!("woken {}", relative(asked, now));
        Some(
            match self.confirmed.filter(|confirmed| *confirmed >= asked) {
                Some(confirmed) => format!("{woken}, confirmed {}", relative(confirmed, now)),
                None => format!("{woken}, not confirmed yet"),
            },
        )
    }
}

pub(crate) async fn show(session: &Session, client: &Client) -> Result<(), Failure> {
    let who = client.whoami().await?;
    session
        .out
        .show(&who, |style| described(style, &who, TimeMs::now()))
}

fn described(style: Style, who: &WhoAmI, now: TimeMs) -> String {
    let mut name = format!("{}/{}", one_line(&who.role), who.instance_id);
    if let Some(tenant) = &who.tenant_id {
        name.push_str(&format!(" of tenant {}", one_line(tenant)));
    }
    let wake = Wake {
        watching: who.watching,
        asked: who.wake_asked_at,
        confirmed: who.wake_confirmed_at,
    };
    let watcher = if wake.watching {
        "running"
    } else {
        "none; `postroad watch --exec CMD` starts CMD when mail waits"
    };
    format!(
        "{}\nmail:      {}\nwatcher:   {watcher}\nlast wake: {}",
        style.strong(&name),
        shown::unread(who.unread_total.unwrap_or_default(), who.highest_priority),
        wake.last(now).unwrap_or_else(|| "none".to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroad_protocol::event::Priority;

    const NOW: TimeMs = TimeMs(1_711_670_460_000);

    #[test]
    fn an_agent_is_told_how_it_is_woken() {
        let mut who = WhoAmI {
            tenant_id: Some("acme".to_owned()),
            role: "tau".to_owned(),
            instance_id: "pi".parse().unwrap(),
            unread_total: Some(3),
            highest_priority: Some(Priority::High),
            position: None,
            watching: true,
            wake_asked_at: Some(TimeMs(1_711_670_400_000)),
            wake_confirmed_at: Some(TimeMs(1_711_670_405_000)),
        };
        insta::assert_snapshot!(described(Style::PLAIN, &who, NOW), @r"
        tau/pi of tenant acme
        mail:      3 unread messages, the highest priority is high
        watcher:   running
        last wake: woken 1m ago, confirmed 55s ago
        ");
        (who.watching, who.wake_asked_at, who.wake_confirmed_at) = (false, None, None);
        insta::assert_snapshot!(described(Style::PLAIN, &who, NOW), @r"
        tau/pi of tenant acme
        mail:      3 unread messages, the highest priority is high
        watcher:   none; `postroad watch --exec CMD` starts CMD when mail waits
        last wake: none
        ");
    }

    #[test]
    fn a_confirmation_of_an_earlier_wake_confirms_no_later_one() {
        let wake = |asked, confirmed| Wake {
            watching: false,
            asked: Some(TimeMs(NOW.0 - asked)),
            confirmed: Some(TimeMs(NOW.0 - confirmed)),
        };
        let told = |wake: Wake| wake.told(NOW).unwrap();
        assert_eq!(told(wake(60_000, 5_000)), "woken 1m ago, confirmed 5s ago");
        assert_eq!(told(wake(5_000, 60_000)), "woken 5s ago, not confirmed yet");
        assert_eq!(Wake::default().told(NOW), None);
    }
}
