//! What is written to the keys stream: tenants that are created, keys that are rotated, tenants that
//! end. Each record expects the one before it, so of several writers exactly one wins. Only a broker
//! may write there.

use crate::error::Unreachable;
use crate::keyring::{Home, Keyring, KeyringError, Registered};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{RawMessageError, RawMessageErrorKind};
use postroad_protocol::seal::{DataKey, KeyId, KeyRecord, Stage};
use postroad_protocol::subject::Owner;

impl Keyring {
    /// Registers `owner` in `shard` with a fresh data key. Of several creators exactly one wins;
    /// the others get the winner's home. The flag says whether this call made it. A name that was
    /// erased comes back as its next generation, in the shard where it lived: the log there tells the
    /// two apart.
    ///
    /// # Errors
    /// [`KeyringError`]; after a time-out, calling again tells what happened.
    pub async fn create(&self, owner: Owner<'_>, shard: u16) -> Result<(Home, bool), KeyringError> {
        self.refresh().await?;
        let (generation, shard, expected) = match self.registered(owner) {
            None => (1, shard, 0),
            Some(Registered { home, stage, last }) => match stage {
                Stage::Live => return Ok((home, false)),
                Stage::Erased => (home.key_id.generation + 1, home.shard, last),
                Stage::Closing | Stage::Destroyed => return Err(KeyringError::Erasing),
            },
        };
        let number = 1;
        let made = self
            .put_key(owner, KeyId { generation, number }, shard, expected)
            .await?;
        if let Some(home) = self.home(owner) {
            return Ok((home, made));
        }
        if let Some(&sequence) = self.read_owners().garbled.get(owner.token()) {
            return Err(KeyringError::WrongMaster { sequence });
        }
        let doing = "registering a tenant";
        Err(Unreachable::at(doing)("the key that was just registered is not there").into())
    }

    /// Gives `owner` its key `number` where it has only earlier ones; says what it has then, or
    /// nothing when it does not live.
    ///
    /// # Errors
    /// [`KeyringError`]; calling again is harmless.
    pub async fn rotate(
        &self,
        owner: Owner<'_>,
        number: u32,
    ) -> Result<Option<Home>, KeyringError> {
        self.refresh().await?;
        let Some(Registered { home, stage, last }) = self.registered(owner) else {
            return Ok(None);
        };
        let generation = home.key_id.generation;
        if stage == Stage::Live && home.key_id.number < number {
            let key = KeyId { generation, number };
            // Whoever was faster has made it.
            self.put_key(owner, key, home.shard, last).await?;
        }
        Ok(self.home(owner))
    }

    /// Brings the end of `owner`'s life to `stage`, from the stage before it. Whoever was faster has
    /// done the same.
    ///
    /// # Errors
    /// [`KeyringError`]; calling again is harmless.
    pub async fn end(
        &self,
        owner: Owner<'_>,
        from: &Registered,
        stage: Stage,
    ) -> Result<(), KeyringError> {
        let record = KeyRecord::ending(from.home.key_id, from.home.shard, stage);
        self.put(owner, &record, from.last).await?;
        Ok(())
    }

    /// Securely deletes every record of `owner` but the last: their bytes are overwritten.
    ///
    /// # Errors
    /// [`KeyringError`]; calling again goes on where it stopped.
    pub async fn sweep(&self, owner: Owner<'_>) -> Result<(), KeyringError> {
        let doing = "deleting data keys";
        let subject = self.inner.subjects.data_key(owner);
        let last = self
            .registered(owner)
            .map_or(0, |registered| registered.last);
        let mut from = 1;
        loop {
            let stream = &self.inner.stream;
            let found = stream
                .get_first_raw_message_by_subject(subject.as_str(), from)
                .await;
            let sequence = match found {
                Ok(found) if found.sequence < last => found.sequence,
                Ok(_) => return Ok(()),
                Err(error) if is_none(&error) => return Ok(()),
                Err(error) => return Err(Unreachable::at(doing)(error).into()),
            };
            stream
                .delete_message(sequence)
                .await
                .map_err(Unreachable::at(doing))?;
            from = sequence + 1;
        }
    }

    async fn put_key(
        &self,
        owner: Owner<'_>,
        key: KeyId,
        shard: u16,
        expected: u64,
    ) -> Result<bool, KeyringError> {
        let fresh = DataKey::generate();
        let record = self.inner.master.wrap(owner.token(), key, shard, &fresh);
        self.put(owner, &record, expected).await
    }

    /// Stores a record behind the one at `expected`, and loads it; false when another is there.
    async fn put(
        &self,
        owner: Owner<'_>,
        record: &KeyRecord,
        expected: u64,
    ) -> Result<bool, KeyringError> {
        let payload =
            rmp_serde::to_vec_named(record).map_err(Unreachable::at("encoding a key record"))?;
        let publish = PublishMessage::build()
            .payload(payload.into())
            .expected_last_subject_sequence(expected);
        let doing = "writing the keys stream";
        let sent = self
            .inner
            .context
            .send_publish(self.inner.subjects.data_key(owner), publish)
            .await;
        let made = match sent.map_err(Unreachable::at(doing))?.await {
            Ok(_) => true,
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => false,
            Err(error) => return Err(Unreachable::at(doing)(error).into()),
        };
        self.refresh().await?;
        Ok(made)
    }
}

fn is_none(error: &RawMessageError) -> bool {
    matches!(error.kind(), RawMessageErrorKind::NoMessageFound)
}
