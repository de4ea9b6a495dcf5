//! Who was retired stays out: its instance, and every other name under which its credential could call.

use crate::harness::{Deployment, issue, options};
use postroad_client::{Check, Client, ClientError, Draft};
use postroad_protocol::{ErrorCode, InstanceId, Role};
use std::time::Duration;

fn code(error: &ClientError) -> Option<ErrorCode> {
    match error {
        ClientError::Refused(refusal) => Some(refusal.code),
        _ => None,
    }
}

#[tokio::test]
async fn a_retired_credential_comes_back_under_no_other_instance_name() {
    let deployment = Deployment::start();
    let operator = deployment.operator().await;
    let tenant = "default".parse().unwrap();
    let tau = Role::parse("tau").unwrap();
    let alice = deployment.agent("default", "alice", "a").await;
    // A credential that serves any instance, and is retired with its role.
    let creds = issue(&operator, "default", "tau", None).await;
    let quick = options(&deployment.url, &creds).timeout(Duration::from_secs(2));
    let old = Client::connect(quick.always_fresh().instance("desk".parse().unwrap()));
    let old = old.await.unwrap();
    alice.send(&Draft::new("tau", "for tau")).await.unwrap();
    assert_eq!(old.check(&Check::default()).await.unwrap().unread_total, 1);
    operator
        .operator()
        .unwrap()
        .retire_agent(&tenant, &tau, None)
        .await
        .unwrap();
    let refused = alice
        .send(&Draft::new("tau", "nobody there"))
        .await
        .unwrap_err();
    assert_eq!(code(&refused), Some(ErrorCode::NotFound), "{refused:?}");
    // The role lives again, on one machine only.
    let new = deployment.agent("default", "tau", "server").await;
    assert_eq!(
        new.check(&Check::default()).await.unwrap().unread_total,
        1,
        "it inherits what nobody read"
    );
    for name in ["desk", "ghost"] {
        let ghost =
            Client::connect(options(&deployment.url, &creds).instance(name.parse().unwrap()));
        let refused = ghost.await.unwrap_err();
        assert!(
            matches!(refused, ClientError::Unauthorized { .. }),
            "{name}: {refused:?}"
        );
    }
    // Its standing connection was cut, too.
    let refused = old.check(&Check::default()).await.unwrap_err();
    assert!(
        matches!(refused, ClientError::Unauthorized { .. }),
        "{refused:?}"
    );
    // And behind that wall there is another: whoever got past it would be refused all the same.
    for name in ["desk", "ghost"] {
        let args = ["--as", &format!("default/tau/{name}"), "check"];
        deployment.run(&args).expect(4);
        let args = [
            "--as",
            &format!("default/tau/{name}"),
            "send",
            "alice",
            "boo",
        ];
        deployment.run(&args).expect(4);
    }
}

#[tokio::test]
async fn a_retired_instance_keeps_its_receipts_and_its_siblings_go_on() {
    let deployment = Deployment::start();
    let operator = deployment.operator().await;
    let tenant = "default".parse().unwrap();
    let alice = deployment.agent("default", "alice", "a").await;
    let laptop = deployment.agent("default", "tau", "laptop").await;
    let server = deployment.agent("default", "tau", "server").await;
    let before = alice.send(&Draft::new("tau", "to both")).await.unwrap();
    assert_eq!(before.recipient_count, 2);
    let gone = InstanceId::parse("laptop").unwrap();
    let tau = Role::parse("tau").unwrap();
    operator
        .operator()
        .unwrap()
        .retire_agent(&tenant, &tau, Some(&gone))
        .await
        .unwrap();
    assert!(laptop.check(&Check::default()).await.is_err());
    let after = alice.send(&Draft::new("tau", "to one")).await.unwrap();
    assert_eq!(after.recipient_count, 1);
    assert_eq!(
        server.check(&Check::default()).await.unwrap().unread_total,
        2
    );
    let page = Default::default();
    let old = alice
        .message_status(before.message_id, &page)
        .await
        .unwrap();
    assert_eq!(old.recipient_count, 2, "receipts that were given are kept");
    let new = alice.message_status(after.message_id, &page).await.unwrap();
    assert_eq!(new.recipient_count, 1);
}
