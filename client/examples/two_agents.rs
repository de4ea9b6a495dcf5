//! Alice sends while Bob is away; Bob comes, gets everything once, and Alice sees that he read it.
//!
//! Needs a deployment (`postroad up`) and two credentials of one tenant, issued with an instance each:
//! `NATS_URL=nats://… ALICE_CREDS=alice.creds BOB_CREDS=bob.creds`.

use postroad_client::protocol::event::Priority;
use postroad_client::{Client, ConnectOptions, Credential, Draft, Page};
use std::env::var;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = var("NATS_URL").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned());

    // The credential says who one is; nothing below can name another sender or tenant.
    let alice = Credential::from_file(var("ALICE_CREDS")?)?;
    // She asks below what Bob did over a connection of his own, so her questions are to include all
    // that the log holds when they arrive.
    let options = ConnectOptions::new(&server, alice).always_fresh();
    let alice = Client::connect(options).await?;

    // Stored when this returns, whether or not Bob is there. A draft that is sent again is the
    // same message: its id was made with it.
    let draft = Draft::new("bob", "Nav and Hero are migrated.").priority(Priority::High);
    let sent = alice.send(&draft).await?;
    alice.send(&draft).await?;
    println!("alice sent {} at {}", sent.message_id, sent.position);

    // Bob comes later, on another machine, and stays.
    let bob = Credential::from_file(var("BOB_CREDS")?)?;
    let bob = Client::connect(ConnectOptions::new(&server, bob)).await?;
    let presence = bob.keep_present()?;
    let mut mail = bob.subscribe().await?;
    while let Some(message) = mail.next().await {
        let message = message?;
        println!("bob reads from {}: {}", message.from, message.content);
        mail.ack(&message).await?;
        if message.message_id == sent.message_id {
            break;
        }
    }

    let status = alice
        .message_status(sent.message_id, &Page::default())
        .await?;
    println!(
        "read by {} of {}",
        status.read_count, status.recipient_count
    );

    presence.leave().await;
    Ok(())
}
