//! Where to connect and as whom: flags before environment before a named context before DIR before the
//! context that `nats context select` chose.
//!
//! Owns that precedence, for the server and for the credential. Never connects.
//!
//! A server that is not named by a flag, `NATS_URL` or a named context is the one that belongs to the credential:
//! the `context.json` beside it, the NATS context that named it, or the deployment at hand. So a NATS context
//! chosen for other work never sends the credential of a local deployment to a foreign server; and it is
//! only read where nothing else says what it would, so that a stale one is in nobody's way.

use super::Global;
use super::failure::Failure;
use crate::deployment::layout::{Layout, LayoutError};
use postroad_client::{Context, Credential, NatsContext};
use postroad_protocol::{ErrorCode, InstanceId, Refusal, Role, TenantId};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where nats-server listens unless it is told otherwise.
const DEFAULT_SERVER: &str = "nats://127.0.0.1:4222";

/// What of the process's surroundings decides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `NATS_URL`.
    pub(crate) url: Option<String>,
    /// `NATS_CREDS`.
    pub(crate) creds: Option<PathBuf>,
    /// `NATS_CONTEXT`.
    pub(crate) context: Option<String>,
    /// `POSTROAD_DIR`.
    pub(crate) dir: Option<PathBuf>,
    /// `POSTROAD_INSTANCE`.
    pub(crate) instance: Option<String>,
    /// Whether `watch --exec` started this process, or one that started it (`POSTROAD_WAKE`).
    pub(crate) woken: bool,
    /// Folder of the `nats` CLI's contexts.
    pub(crate) nats_config: Option<PathBuf>,
    /// Where the search for a DIR begins.
    pub(crate) current_dir: PathBuf,
}

impl Environment {
    /// This process's.
    pub(crate) fn of_process() -> Self {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            url: text("NATS_URL"),
            creds: path("NATS_CREDS").map(PathBuf::from),
            context: text("NATS_CONTEXT"),
            dir: path("POSTROAD_DIR").map(PathBuf::from),
            instance: text("POSTROAD_INSTANCE"),
            woken: path(super::wake::WAKE).is_some(),
            nats_config: NatsContext::default_dir(),
            current_dir: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
        }
    }
}

/// `tenant/role` or `tenant/role/instance`, as `--as` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentName {
    /// The tenant.
    pub(crate) tenant: TenantId,
    /// The role.
    pub(crate) role: Role,
    /// The instance; by default this machine's.
    pub(crate) instance: Option<InstanceId>,
}

impl FromStr for AgentName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        let (tenant, role, instance) = match parts.as_slice() {
            [tenant, role] => (tenant, role, None),
            [tenant, role, instance] => (tenant, role, Some(instance)),
            _ => return Err("write it as tenant/role or tenant/role/instance".to_owned()),
        };
        Ok(Self {
            tenant: tenant
                .parse()
                .map_err(|e: postroad_protocol::id::InvalidName| e.to_string())?,
            role: role
                .parse()
                .map_err(|e: postroad_protocol::id::InvalidName| e.to_string())?,
            instance: instance
                .map(|instance| instance.parse())
                .transpose()
                .map_err(|e: postroad_protocol::id::InvalidName| e.to_string())?,
        })
    }
}

/// As whom to connect.
#[derive(Clone, Debug)]
pub(crate) enum Speaker {
    /// With this credential.
    Credential {
        /// What it is.
        credential: Credential,
        /// Whether nobody asked for it by name: the operator's of the DIR at hand.
        by_default: bool,
    },
    /// As this agent, with a credential that the DIR's keys are to sign.
    Agent(AgentName),
}

/// Everything a connection needs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// As whom.
    pub(crate) speaker: Speaker,
    /// Where, and which server is believed there.
    pub(crate) place: Context,
    /// The local deployment, where there is one.
    pub(crate) layout: Option<Layout>,
}

/// Where a deployment is, as far as a source knows.
type Place = Option<Context>;

impl Settings {
    /// Decides.
    pub(crate) fn resolve(global: &Global, environment: &Environment) -> Result<Self, Failure> {
        // Whoever says it all is asked nothing more. `--as` needs the keys of a DIR.
        let is_speaker_named =
            global.creds.is_some() || (environment.creds.is_some() && global.r#as.is_none());
        let is_server_named = global.server.is_some() || environment.url.is_some();
        let is_all_named = is_speaker_named && is_server_named;
        let (layout, named, selected) = if is_all_named && global.dir.is_none() {
            (None, None, None)
        } else {
            let layout = find_layout(global, environment)?;
            let named = named_context(global, environment)?;
            let is_at_hand =
                named.is_some() || layout.is_some() || is_dir_named(global, environment);
            let selected = if is_at_hand {
                None
            } else {
                selected_context(environment)?
            };
            (layout, named, selected)
        };
        let found = Found {
            global,
            environment,
            layout: layout.as_ref(),
            context: named.as_ref().or(selected.as_ref()),
            is_context_named: named.is_some(),
        };
        let (speaker, origin) = found.speaker()?;
        let place = found.place(&origin)?;
        let place = place.unwrap_or_else(|| Context {
            url: DEFAULT_SERVER.to_owned(),
            ..Context::default()
        });
        Ok(Self {
            speaker,
            place,
            layout,
        })
    }
}

/// Where a credential came from, which also says where to go with it.
enum Origin {
    /// A file that was named.
    File(PathBuf),
    /// A NATS context.
    Context,
    /// The local deployment.
    Dir(Layout),
}

struct Found<'a> {
    global: &'a Global,
    environment: &'a Environment,
    layout: Option<&'a Layout>,
    context: Option<&'a NatsContext>,
    is_context_named: bool,
}

impl Found<'_> {
    fn speaker(&self) -> Result<(Speaker, Origin), Failure> {
        let of_file = |path: &Path| -> Result<(Speaker, Origin), Failure> {
            let speaker = read_credential(path, false)?;
            Ok((speaker, Origin::File(path.to_owned())))
        };
        if let Some(path) = &self.global.creds {
            return of_file(path);
        }
        if let Some(agent) = &self.global.r#as {
            let layout = self.layout.ok_or_else(no_dir_for_as)?;
            return Ok((Speaker::Agent(agent.clone()), Origin::Dir(layout.clone())));
        }
        if let Some(path) = &self.environment.creds {
            return of_file(path);
        }
        if let Some(path) = self.context.and_then(|context| context.creds.as_ref()) {
            return Ok((read_credential(path, false)?, Origin::Context));
        }
        let layout = self.layout.ok_or_else(no_credential)?;
        let path = layout.operator_creds();
        if !path.exists() {
            return Err(no_credential());
        }
        Ok((read_credential(&path, true)?, Origin::Dir(layout.clone())))
    }

    fn place(&self, origin: &Origin) -> Result<Place, Failure> {
        let named = self
            .global
            .server
            .as_ref()
            .or(self.environment.url.as_ref());
        let of_context = || {
            let context = self.context?;
            Some(Context {
                url: context.url.clone()?,
                ca: context.ca.clone(),
                ..Context::default()
            })
        };
        if self.is_context_named
            && let (None, Some(place)) = (named, of_context())
        {
            return Ok(Some(place));
        }
        let own = match origin {
            Origin::Context => of_context(),
            Origin::File(path) => Context::beside(path)?,
            Origin::Dir(layout) => Context::in_dir(layout.root())?,
        };
        let own = match (own, self.layout) {
            (None, Some(layout)) => Context::in_dir(layout.root())?,
            (None, None) => of_context(),
            (own, _) => own,
        };
        Ok(match named {
            // Whoever names the server still means the certificates that belong to the credential.
            Some(server) => Some(at(server, own.unwrap_or_default())),
            None => own,
        })
    }
}

/// The same deployment under another address, here and elsewhere.
fn at(server: &str, place: Context) -> Context {
    let elsewhere = place
        .elsewhere
        .map(|elsewhere| Box::new(at(server, *elsewhere)));
    Context {
        url: server.to_owned(),
        elsewhere,
        ..place
    }
}

fn read_credential(path: &Path, by_default: bool) -> Result<Speaker, Failure> {
    let credential = Credential::from_file(path).map_err(postroad_client::ClientError::from)?;
    Ok(Speaker::Credential {
        credential,
        by_default,
    })
}

fn is_dir_named(global: &Global, environment: &Environment) -> bool {
    global.dir.is_some() || environment.dir.is_some() || global.r#as.is_some()
}

/// The DIR that was named, or the nearest above; none where there is none.
fn find_layout(global: &Global, environment: &Environment) -> Result<Option<Layout>, Failure> {
    let named = global.dir.as_ref().or(environment.dir.as_ref());
    let found = match named {
        Some(dir) => Layout::open(dir),
        None => Layout::find(&environment.current_dir),
    };
    match found {
        Ok(layout) => Ok(Some(layout)),
        Err(LayoutError::NotFound { .. }) => Ok(None),
        Err(error) => {
            let remedy = "name the directory of a deployment with --dir";
            Err(Failure::of(ErrorCode::InvalidArgument, &error, remedy))
        }
    }
}

fn named_context(
    global: &Global,
    environment: &Environment,
) -> Result<Option<NatsContext>, Failure> {
    let Some(name) = global.context.as_ref().or(environment.context.as_ref()) else {
        return Ok(None);
    };
    let config = environment.nats_config.as_ref().ok_or_else(|| {
        Failure::usage(
            "context",
            "there is no home directory to look for NATS contexts in",
            "set HOME or XDG_CONFIG_HOME, or name a server with --server",
        )
    })?;
    Ok(Some(NatsContext::named(config, name)?))
}

/// The context that `nats context select` chose. It counts only where it has a credential: without
/// one it was not chosen for Postroad.
fn selected_context(environment: &Environment) -> Result<Option<NatsContext>, Failure> {
    let Some(config) = &environment.nats_config else {
        return Ok(None);
    };
    let selected = NatsContext::selected(config)?;
    Ok(selected.filter(|context| context.creds.is_some()))
}

fn no_credential() -> Failure {
    Refusal::new(
        ErrorCode::Unauthenticated,
        "no credential was named, and there is no deployment here",
        "name one with --creds FILE; or start a deployment with `postroad up`, \
         and speak as one of its agents with --as tenant/role",
    )
    .at("creds")
    .into()
}

fn no_dir_for_as() -> Failure {
    Failure::usage(
        "as",
        "--as needs the keys of a deployment on this machine, and there is none here",
        "run this in the directory where `postroad up` runs, name it with --dir, or use --creds FILE",
    )
}
