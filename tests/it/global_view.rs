//! The operator's view over tenants: everything once, in an order that is promised, each read told in the
//! tenants that it touched, and in no other.

use crate::harness::eventually;
use crate::harness::log::events;
use crate::harness::road::{Road, promised_by_both_kinds};
use postroad_client::{Client, Draft, History, Page, ReplayOf};
use postroad_protocol::query::{Message, TenantMessages};
use postroad_protocol::{ErrorCode, TenantId};
use std::collections::BTreeSet;

promised_by_both_kinds!(
    the_operator_lists_every_tenants_messages_and_each_read_is_told_where_it_touched,
    the_operator_lists_every_tenants_agents,
    a_walk_over_more_tenants_than_one_page_reads_comes_to_its_end,
    cursors_of_others_and_of_other_lists_are_refused,
);

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

/// An agent of a tenant, whose credential the operator issues.
async fn agent(road: &Road, tenant: &str, role: &str) -> Client {
    let creds = road.creds(tenant, role, Some("i1")).await;
    crate::harness::connect(road.url(), &creds, None).await
}

/// Three tenants beside `default`; two of them talk, with the same names.
async fn talk(road: &Road) {
    for name in ["globex", "acme", "silent"] {
        road.tenant(name).await;
    }
    for name in ["acme", "globex"] {
        let (tau, pi) = (
            agent(road, name, "tau").await,
            agent(road, name, "pi").await,
        );
        for content in ["one", "two"] {
            tau.send(&Draft::new("pi", content)).await.unwrap();
        }
        pi.send(&Draft::new("broadcast", "three")).await.unwrap();
        // Read and delivered: the operator is shown none of it.
        let unread = pi.check(&postroad_client::Check::default()).await.unwrap();
        let first = unread.messages[0].message_id.to_string();
        pi.mark_messages_as_read([first]).await.unwrap();
    }
}

fn told(message: &Message) -> String {
    assert_eq!((&message.receipt_id, message.read_at), (&None, None));
    assert_eq!(message.delivered_at, None);
    let tenant = message.tenant_id.as_ref().expect("whose it is");
    format!("{tenant} {}", message.content)
}

/// All pages of a list, one after another.
async fn pages(operator: &Client, of: Option<&TenantId>, wanted: &History) -> Vec<TenantMessages> {
    let mut pages: Vec<TenantMessages> = Vec::new();
    loop {
        let wanted = match pages.last().map(|page| page.next_cursor.clone()) {
            None => wanted.clone(),
            Some(Some(cursor)) => wanted.clone().after(cursor),
            Some(None) => return pages,
        };
        let operator = operator.operator().unwrap();
        let page = operator.list_messages(of, &wanted).await.unwrap();
        assert_eq!(page.truncated, page.next_cursor.is_some());
        assert_eq!(page.position.is_some(), of.is_some());
        pages.push(page);
    }
}

async fn listed(operator: &Client, of: Option<&TenantId>, wanted: &History) -> Vec<String> {
    let pages = pages(operator, of, wanted).await;
    let messages = pages.iter().flat_map(|page| &page.messages);
    messages.map(told).collect()
}

/// What a tenant's log says of reads by `verb`, oldest first.
async fn audited(operator: &Client, of: &str, verb: &str) -> Vec<String> {
    let log = events(operator, ReplayOf::Tenant(tenant(of)), 1).await;
    let reads = log
        .into_iter()
        .filter(|event| event.type_name == "operator_read" && event.by.starts_with("_operator/"));
    reads
        .filter(|event| event.data.to_string().contains(verb))
        .map(|event| event.data.to_string())
        .collect()
}

async fn counts(operator: &Client, verb: &str) -> [usize; 3] {
    let mut counts = [0; 3];
    for (count, name) in counts.iter_mut().zip(["acme", "globex", "silent"]) {
        *count = audited(operator, name, verb).await.len();
    }
    counts
}

async fn the_operator_lists_every_tenants_messages_and_each_read_is_told_where_it_touched(
    road: Road,
) {
    talk(&road).await;
    let operator = road.operator().await;
    let everything = [
        "acme three",
        "acme two",
        "acme one",
        "globex three",
        "globex two",
        "globex one",
    ];
    assert_eq!(
        listed(&operator, None, &History::default()).await,
        everything
    );
    assert_eq!(counts(&operator, "list_messages").await, [1, 1, 1]);
    // Told in a tenant's log: how much of it was shown, under which filter.
    let wanted = History::default().sender("tau".parse().unwrap());
    let globex = tenant("globex");
    let of_globex = listed(&operator, Some(&globex), &wanted).await;
    assert_eq!(of_globex, ["globex two", "globex one"]);
    assert_eq!(counts(&operator, "list_messages").await, [1, 2, 1]);
    let last = audited(&operator, "globex", "list_messages")
        .await
        .pop()
        .unwrap();
    assert!(last.contains("2 messages from tau"), "{last}");
    assert!(
        !audited(&operator, "acme", "list_messages").await[0].contains("globex"),
        "one tenant's trail names no other"
    );
    // A page that ends in the first tenant touches no other.
    let page = operator.operator().unwrap();
    let page = page
        .list_messages(None, &History::default().limit(2))
        .await
        .unwrap();
    assert_eq!(
        page.messages.iter().map(told).collect::<Vec<_>>(),
        everything[..2]
    );
    assert_eq!(counts(&operator, "list_messages").await, [2, 2, 1]);
    for limit in [1, 2, 4] {
        let wanted = History::default().limit(limit);
        assert_eq!(listed(&operator, None, &wanted).await, everything);
    }
    let broadcasts = History::default().channel("broadcast");
    assert_eq!(
        listed(&operator, None, &broadcasts).await,
        ["acme three", "globex three"]
    );
    let to_pi = History::default().channel("pi").limit(3);
    assert_eq!(
        listed(&operator, None, &to_pi).await,
        ["acme two", "acme one", "globex two", "globex one"]
    );
    let first = pages(&operator, None, &History::default()).await;
    let since = first[0].messages[0].sent_at;
    let late = listed(&operator, None, &History::default().since(since)).await;
    assert!(late.contains(&"globex three".to_owned()) && !late.contains(&"acme one".to_owned()));
    let early = listed(&operator, None, &History::default().until(since)).await;
    assert!(early.contains(&"acme one".to_owned()) && !early.contains(&"acme three".to_owned()));

    let nobody = tenant("nobody");
    let page = operator.operator().unwrap();
    let refused = page
        .list_messages(Some(&nobody), &History::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotFound, "{refused:?}");
}

async fn the_operator_lists_every_tenants_agents(road: Road) {
    talk(&road).await;
    let waiting = road.creds("silent", "late", None).await;
    assert!(!waiting.is_empty());
    let operator = road.operator().await;
    let mut found = Vec::new();
    let mut page = Page::default().limit(3);
    loop {
        let answer = operator
            .operator()
            .unwrap()
            .list_peers(None, &page)
            .await
            .unwrap();
        for peer in answer.peers {
            let instance = peer
                .instance_id
                .map(|name| name.to_string())
                .unwrap_or_default();
            found.push(format!(
                "{} {}/{instance}",
                peer.tenant_id.unwrap(),
                peer.id
            ));
        }
        match answer.next_cursor {
            Some(cursor) => page = page.after(cursor),
            None => break,
        }
    }
    assert_eq!(
        found,
        [
            "acme pi/i1",
            "acme tau/i1",
            "globex pi/i1",
            "globex tau/i1",
            "silent late/"
        ]
    );
    assert!(
        counts(&operator, "list_peers")
            .await
            .iter()
            .all(|count| *count >= 1)
    );
    let before = counts(&operator, "list_peers").await;
    let acme = tenant("acme");
    // Another projector may not have heard of them yet: each asks its own.
    eventually("who speaks is online", async || {
        let operator = operator.operator().unwrap();
        let answer = operator
            .list_peers(Some(&acme), &Page::default())
            .await
            .unwrap();
        assert_eq!(answer.peers.len(), 2);
        assert!(answer.position.is_some());
        answer.peers.iter().all(|peer| peer.last_seen.is_some())
    })
    .await;
    let after = counts(&operator, "list_peers").await;
    assert!(after[0] > before[0] && after[1..] == before[1..]);
}

async fn a_walk_over_more_tenants_than_one_page_reads_comes_to_its_end(road: Road) {
    let names: Vec<String> = (0..40).map(|number| format!("t{number:02}")).collect();
    for name in &names {
        road.tenant(name).await;
    }
    let last = agent(&road, "t39", "tau").await;
    last.send(&Draft::new("broadcast", "far behind"))
        .await
        .unwrap();
    let operator = road.operator().await;
    let pages = pages(&operator, None, &History::default()).await;
    assert!(pages.len() > 1 && pages[0].messages.is_empty());
    let found: Vec<String> = pages
        .iter()
        .flat_map(|page| &page.messages)
        .map(told)
        .collect();
    assert_eq!(found, ["t39 far behind"]);
    let mut touched = BTreeSet::new();
    for name in &names {
        if audited(&operator, name, "list_messages").await.len() == 1 {
            touched.insert(name.clone());
        }
    }
    assert_eq!(
        touched.len(),
        names.len(),
        "each was read once, and told so"
    );
}

async fn cursors_of_others_and_of_other_lists_are_refused(road: Road) {
    talk(&road).await;
    let operator = road.operator().await;
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    let first = History::default().limit(1);
    let cursor_of = async |of: Option<&TenantId>| {
        let page = operator.operator().unwrap().list_messages(of, &first).await;
        page.unwrap().next_cursor.expect("there is more")
    };
    let (of_all, of_acme) = (cursor_of(None).await, cursor_of(Some(&acme)).await);
    let tau = agent(&road, "acme", "tau").await;
    let of_tau = tau
        .list_messages(&first)
        .await
        .unwrap()
        .next_cursor
        .unwrap();
    let before = counts(&operator, "list_messages").await;
    for (of, cursor) in [
        (None, &of_acme),
        (None, &of_tau),
        (Some(&acme), &of_all),
        (Some(&acme), &of_tau),
        (Some(&globex), &of_acme),
        (None, &"AAAA".to_owned()),
        (None, &"a".repeat(321)),
    ] {
        let wanted = History::default().after(cursor);
        let refused = operator
            .operator()
            .unwrap()
            .list_messages(of, &wanted)
            .await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::InvalidArgument, "{refused:?}");
        assert_eq!(refused.refusal().unwrap().field.as_deref(), Some("cursor"));
        let page = Page::default().after(cursor);
        let refused = operator.operator().unwrap().list_peers(of, &page).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::InvalidArgument);
    }
    for cursor in [&of_all, &of_acme] {
        let refused = tau.list_messages(&History::default().after(cursor)).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::InvalidArgument);
    }
    assert_eq!(
        counts(&operator, "list_messages").await,
        before,
        "a refusal reads nothing"
    );
}
