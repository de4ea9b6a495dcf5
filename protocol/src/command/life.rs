//! Reads the bodies of what the operator decides over a tenant as a whole.

use super::read::identify;
use super::{Command, Identified, wire};
use crate::error::{ErrorCode, Refusal};
use crate::limits::SUSPEND_REASON_MAX_BYTES;
use crate::quota::LimitsChange;

pub(super) fn read_suspend(wire: wire::SuspendTenant) -> Result<Identified, Refusal> {
    let reason = wire.reason.filter(|reason| !reason.is_empty());
    let bytes = reason.as_ref().map_or(0, String::len);
    if bytes > SUSPEND_REASON_MAX_BYTES {
        return Err(Refusal::new(
            ErrorCode::TooLarge,
            format!("the reason has {bytes} bytes; {SUSPEND_REASON_MAX_BYTES} is the limit"),
            "say it shorter",
        )
        .at("reason"));
    }
    identify(
        wire.command_id.as_deref(),
        "commandId",
        Command::SuspendTenant { reason },
    )
}

pub(super) fn read_resume(wire: &wire::ResumeTenant) -> Result<Identified, Refusal> {
    identify(
        wire.command_id.as_deref(),
        "commandId",
        Command::ResumeTenant,
    )
}

pub(super) fn read_limits(wire: &wire::SetLimits) -> Result<Identified, Refusal> {
    let change = LimitsChange::read(&wire.set, &wire.reset)?;
    identify(
        wire.command_id.as_deref(),
        "commandId",
        Command::SetLimits(change),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_optional_and_bounded() {
        let read = |reason: Option<&str>| {
            read_suspend(wire::SuspendTenant {
                reason: reason.map(str::to_owned),
                command_id: None,
            })
        };
        let reason_of = |identified: Identified| match identified.command {
            Command::SuspendTenant { reason } => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason_of(read(None).unwrap()), None);
        assert_eq!(reason_of(read(Some("")).unwrap()), None);
        let longest = "x".repeat(SUSPEND_REASON_MAX_BYTES);
        assert!(read(Some(&longest)).is_ok());
        let refusal = read(Some(&format!("{longest}x"))).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::TooLarge);
        assert_eq!(refusal.field.as_deref(), Some("reason"));
    }
}
