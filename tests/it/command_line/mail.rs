//! `send`, `check`, `read`, `watch`, `message …`.

use super::{Desk, MESSAGE, PAGE, POSITION, UNREAD_PAGE, assert_keys};
use crate::harness::binary;
use crate::harness::process::{Lines, Process};
use serde_json::{Value, json};
use std::process::Command;

#[tokio::test]
async fn send_says_where_it_is_stored_and_for_whom_and_takes_every_option() {
    let desk = Desk::set();
    let first = desk.bob(&["send", "alice", "first"]).expect(0).json();
    assert_keys(
        &first,
        &["messageId", "position", "recipientCount", "recipients"],
    );
    assert_keys(&first["position"], POSITION);
    assert_eq!(first["recipientCount"], 1);
    assert_eq!(first["recipients"], json!(["alice/laptop"]));
    let everybody = desk.bob(&["send", "broadcast", "all"]).expect(0).json();
    // A broadcast is counted, not named.
    assert_keys(&everybody, &["messageId", "position", "recipientCount"]);

    let answered = first["messageId"].as_str().unwrap();
    let id = uuid::Uuid::now_v7().to_string();
    let args = [
        "send",
        "--instance",
        "server",
        "--priority",
        "urgent",
        "--reply-to",
        answered,
        "--message-id",
        &id,
        "--meta",
        "kind=weather",
        "--meta",
        "unit=c=celsius",
        "bob",
        "-5 degrees",
    ];
    let sent = desk.alice(&args).expect(0).json();
    assert_eq!(sent["messageId"], id.as_str());
    let unread = desk.bob(&["check"]).expect(0).json();
    let message = &unread["messages"][0];
    assert_keys(message, MESSAGE);
    assert_eq!(message["messageId"], id.as_str());
    assert_eq!(message["from"], "alice");
    assert_eq!(message["fromInstanceId"], "laptop");
    assert_eq!(message["channel"], "bob");
    assert_eq!(message["instanceId"], "server");
    assert_eq!(message["content"], "-5 degrees");
    assert_eq!(message["replyTo"], answered);
    assert_eq!(message["priority"], "urgent");
    assert_eq!(unread["highestPriority"], "urgent");
    for command in ["check", "whoami"] {
        let told = desk
            .deployment
            .run(&["--creds", &desk.bob, command])
            .expect(0);
        let told = told.stdout + &told.stderr;
        let expected = "1 unread message, the highest priority is urgent";
        assert!(told.contains(expected), "{told}");
    }
    assert_eq!(
        message["metadata"],
        json!({"kind":"weather","unit":"c=celsius"})
    );
    // The same id again is the same message, at the same place.
    let again = desk.alice(&args).expect(0).json();
    assert_eq!(again["position"], sent["position"]);
}

#[tokio::test]
async fn content_comes_from_stdin_as_it_is() {
    let desk = Desk::set();
    let text = "a diff\n+ söme \"lines\"\n\n";
    desk.speak(&desk.alice, &["send", "bob", "-"], text)
        .expect(0);
    let unread = desk.bob(&["check"]).expect(0).json();
    assert_eq!(unread["messages"][0]["content"], text);
}

#[tokio::test]
async fn check_pages_and_read_marks_in_the_shapes_that_are_promised() {
    let desk = Desk::set();
    let empty = desk.bob(&["check"]).expect(0).json();
    assert_keys(&empty, PAGE);
    assert_eq!(
        (&empty["messages"], &empty["unreadTotal"]),
        (&json!([]), &json!(0))
    );
    assert_eq!(empty["truncated"], false);
    for content in ["one", "two", "three"] {
        desk.alice(&["send", "bob", content]).expect(0);
    }
    let page = desk.bob(&["check", "--limit", "2"]).expect(0).json();
    assert_keys(&page, UNREAD_PAGE);
    assert_eq!(page["highestPriority"], "normal");
    assert_keys(&page["position"], POSITION);
    assert_eq!(contents(&page), ["one", "two"]);
    assert_eq!(
        (&page["unreadTotal"], &page["truncated"]),
        (&json!(3), &json!(true))
    );
    let message = &page["messages"][0];
    assert_keys(message, MESSAGE);
    assert!(message["sentAt"].is_u64(), "{message}");
    assert_eq!(
        (
            &message["instanceId"],
            &message["replyTo"],
            &message["readAt"]
        ),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(
        (&message["priority"], &message["metadata"]),
        (&json!("normal"), &json!({}))
    );
    let cursor = page["nextCursor"].as_str().unwrap();
    let rest = desk.bob(&["check", "--cursor", cursor]).expect(0).json();
    assert_eq!(contents(&rest), ["three"]);
    assert_eq!(rest["truncated"], false);

    // Any letter of its alphabet may begin a receipt, a hyphen too.
    let receipt = message["receiptId"].as_str().unwrap();
    let marked = desk.bob(&["read", "--", receipt]).expect(0).json();
    assert_eq!(
        marked,
        json!({"marked":[receipt],"alreadyRead":[],"notFound":[]})
    );
    // What is not found ends with 3, and what was found is told all the same.
    let again = desk.bob(&["read", "--", receipt, "rcpt-xyz"]).expect(3);
    assert_eq!(
        again.json(),
        json!({"marked":[],"alreadyRead":[receipt],"notFound":["rcpt-xyz"]})
    );
    let two = page["messages"][1]["messageId"].as_str().unwrap();
    let by_message = desk.bob(&["read", "--message", two]).expect(0).json();
    assert_eq!(by_message["marked"], json!([two]));
    let left = desk.bob(&["check", "--wait", "30s"]).expect(0).json();
    assert_eq!(
        contents(&left),
        ["three"],
        "a check that has mail never waits"
    );
}

#[tokio::test]
async fn status_get_and_list_show_a_message_in_the_shapes_that_are_promised() {
    let desk = Desk::set();
    let sent = desk.alice(&["send", "bob", "hello"]).expect(0).json();
    let id = sent["messageId"].as_str().unwrap();
    let before = desk.alice(&["message", "status", id]).expect(0).json();
    let status = [
        "messageId",
        "recipientCount",
        "deliveredCount",
        "readCount",
        "receipts",
        "nextCursor",
        "position",
    ];
    assert_keys(&before, &status);
    assert_eq!(
        (&before["messageId"], &before["readCount"]),
        (&json!(id), &json!(0))
    );
    let receipt = [
        "recipient",
        "recipientInstanceId",
        "createdAt",
        "deliveredAt",
        "readAt",
    ];
    assert_keys(&before["receipts"][0], &receipt);
    let unread = desk.bob(&["check"]).expect(0).json();
    let of_bob = unread["messages"][0]["receiptId"].as_str().unwrap();
    desk.bob(&["read", "--", of_bob]).expect(0);
    let after = desk.alice(&["message", "status", id]).expect(0).json();
    assert_eq!(
        (
            &after["recipientCount"],
            &after["deliveredCount"],
            &after["readCount"]
        ),
        (&json!(1), &json!(1), &json!(1)),
        "{after}"
    );
    let read = &after["receipts"][0];
    assert_eq!(
        (&read["recipient"], &read["recipientInstanceId"]),
        (&json!("bob"), &json!("server"))
    );
    assert!(
        read["deliveredAt"].is_u64() && read["readAt"].is_u64(),
        "{read}"
    );

    let one = desk.bob(&["message", "get", id]).expect(0).json();
    assert_keys(&one, &["message", "position"]);
    assert_keys(&one["message"], MESSAGE);
    assert_eq!(one["message"]["content"], "hello");

    desk.bob(&["send", "alice", "an answer"]).expect(0);
    desk.alice(&["send", "broadcast", "to all"]).expect(0);
    let all = desk.alice(&["message", "list"]).expect(0).json();
    assert_keys(&all, UNREAD_PAGE);
    all["messages"]
        .as_array()
        .unwrap()
        .iter()
        .for_each(|message| assert_keys(message, MESSAGE));
    assert_eq!(all["messages"].as_array().unwrap().len(), 3, "{all}");
    let list = |filter: &[&str]| {
        let args = [&["message", "list"][..], filter].concat();
        contents(&desk.alice(&args).expect(0).json())
    };
    assert_eq!(list(&["--sender", "bob"]), ["an answer"]);
    assert_eq!(list(&["--channel", "broadcast"]), ["to all"]);
    assert_eq!(list(&["--until", "1d"]), [""; 0]);
    assert_eq!(list(&["--since", "1d", "--limit", "1"]).len(), 1);
}

#[tokio::test]
async fn watch_streams_each_message_as_one_line_until_it_is_interrupted() {
    let desk = Desk::set();
    desk.alice(&["send", "bob", "before"]).expect(0);
    let mut command = Command::new(binary());
    let dir = desk.deployment.path();
    command.arg("--dir").arg(dir);
    command.args(["--json", "--creds", &desk.bob, "watch", "--ack"]);
    let (watch, stdout) = Process::start(command);
    let lines = Lines::of(stdout);
    let first = lines.next_json();
    assert_keys(&first, MESSAGE);
    assert_eq!(first["content"], "before");
    desk.alice(&["send", "bob", "while it watches"]).expect(0);
    assert_eq!(lines.next_json()["content"], "while it watches");
    crate::harness::eventually("both are marked", async || {
        desk.bob(&["check"]).expect(0).json()["unreadTotal"] == 0
    })
    .await;
    assert_eq!(watch.interrupt(), 0);
    assert_eq!(lines.rest(), [""; 0], "each message once");
}

fn contents(page: &Value) -> Vec<String> {
    let messages = page["messages"]
        .as_array()
        .unwrap_or_else(|| panic!("{page}"));
    let content = |message: &Value| message["content"].as_str().unwrap().to_owned();
    messages.iter().map(content).collect()
}
