//! `agent keygen`, `agent creds`, `agent renew`, `agent rotate`: what an agent does with its own key. Its
//! seed never leaves the machine.

use super::place::Place;
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::cli::text::{one_line, relative};
use clap::Args;
use postroad_client::{ClientError, Credential, UserKey};
use postroad_protocol::{ErrorCode, TimeMs};
use serde::Serialize;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Largest seed or JWT file that is read, in bytes.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// Make a key of the agent's own. Its seed stays in the file.
///
/// Give the public half, which this prints, to the operator or to an administrator of the tenant, for
/// `agent issue --public-key`. What comes back is a JWT, which is no secret; `agent creds` makes a
/// credential of both.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postroad agent keygen --out tau.nk")]
pub(crate) struct KeygenArgs {
    /// Where to write the seed
    #[arg(long, value_name = "FILE", default_value = "agent.nk")]
    out: PathBuf,
    /// Replace a file that is there: its key is lost
    #[arg(long)]
    force: bool,
}

/// Make a credential of a key's seed and the JWT that was signed for it.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  postroad agent creds --seed tau.nk --jwt tau.jwt --out tau.creds"
)]
pub(crate) struct CredsArgs {
    /// The file that `agent keygen` wrote
    #[arg(long, value_name = "FILE", default_value = "agent.nk")]
    seed: PathBuf,
    /// The file that `agent issue --public-key` wrote
    #[arg(long, value_name = "FILE")]
    jwt: PathBuf,
    /// Where to write the credential
    #[arg(long, value_name = "FILE", default_value = "agent.creds")]
    out: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

/// Have the credential at hand signed anew, for as long as it was issued for.
///
/// Commands do this by themselves when a third of its life is left; a credential that has expired
/// cannot be renewed any more.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postroad --creds tau.creds agent renew")]
pub(crate) struct RenewArgs {}

/// Exchange the credential at hand for one with a fresh key, and end the former.
///
/// For when its file may have been seen: whoever copied it is cut off. Reader, mail and receipts stay.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  postroad --creds tau.creds agent rotate")]
pub(crate) struct RotateArgs {}

/// Answer of `agent keygen` and `agent creds`, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyDocument<'a> {
    public_key: &'a str,
    file: &'a Path,
}

/// Answer of `agent renew` and `agent rotate`, for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RenewedDocument {
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
    expires_at: Option<TimeMs>,
}

pub(super) fn keygen(session: &Session, args: &KeygenArgs) -> Result<(), Failure> {
    let place = Place::take(&args.out, args.force)?;
    let key = UserKey::generate();
    let text = Zeroizing::new(format!("{}\n", key.seed().as_str()));
    place.fill(text.as_bytes())?;
    let public_key = key.public_key();
    let document = KeyDocument {
        public_key: &public_key,
        file: &args.out,
    };
    let file = one_line(&args.out.to_string_lossy());
    session.out.note(&format!(
        "wrote {file}: keep it secret. Have this key put on the roster with `agent issue --public-key`:"
    ));
    session.out.show(&document, |_| public_key.clone())
}

pub(super) fn creds(session: &Session, args: &CredsArgs) -> Result<(), Failure> {
    let seed = read(&args.seed)?;
    let key = UserKey::from_seed(&seed).map_err(ClientError::from)?;
    let jwt = read(&args.jwt)?;
    let text = key.creds(jwt.trim());
    // A JWT of another key, or a garbled one, is found here and not by the server.
    Credential::parse(&text).map_err(ClientError::from)?;
    Place::take(&args.out, args.force)?.fill(text.as_bytes())?;
    let public_key = key.public_key();
    let document = KeyDocument {
        public_key: &public_key,
        file: &args.out,
    };
    session.out.show(&document, |style| {
        format!(
            "wrote {}",
            style.strong(&one_line(&args.out.to_string_lossy()))
        )
    })
}

pub(super) async fn renew(session: &Session) -> Result<(), Failure> {
    let client = session.agent().await?;
    let expires_at = client.renew_credential().await?;
    let document = RenewedDocument {
        public_key: None,
        expires_at: Some(expires_at),
    };
    session.out.show(&document, |_| {
        format!("renewed: expires {}", relative(expires_at, TimeMs::now()))
    })
}

pub(super) async fn rotate(session: &Session) -> Result<(), Failure> {
    let client = session.agent().await?;
    let public_key = client.rotate_credential().await?;
    let document = RenewedDocument {
        expires_at: client.credential_expires_at(),
        public_key: Some(public_key.clone()),
    };
    session.out.show(&document, |_| {
        format!("rotated: the key is now {public_key}, and the former has ended")
    })
}

fn read(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let unreadable = |error: std::io::Error| {
        let code = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorCode::NotFound,
            _ => ErrorCode::InvalidArgument,
        };
        let message = format!("{} cannot be read", path.display());
        Failure::of(
            code,
            &std::io::Error::new(error.kind(), message),
            "check the path",
        )
    };
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(FILE_MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    Ok(text)
}
