//! One command's connection: as an agent or as the operator, whichever the command needs.
//!
//! Owns connecting and saying what to do where the credential at hand is of the wrong kind.

use super::Global;
use super::failure::Failure;
use super::instance::{default_instance, user_state};
use super::output::Output;
use super::settings::{AgentName, Environment, Settings, Speaker};
use super::text::one_line;
use crate::deployment::certificate;
use crate::deployment::layout::{Layout, create_private};
use crate::deployment::mint_session;
use crate::reach;
use clap::Args;
use postroad_client::{Client, ClientError, ConnectOptions, Context, Credential, Holder, Page};
use postroad_protocol::limits::PAGE_MAX;
use postroad_protocol::query::{Agent, AgentKind};
use postroad_protocol::{ErrorCode, InstanceId, Refusal, TenantId};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Names that a "not found" shows at most.
const ROLES_SHOWN: usize = 20;

/// Whose, where the operator asks for what agents ask of their own tenant.
#[derive(Args, Debug)]
pub(crate) struct TenantsArg {
    /// As the operator: of this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<TenantId>,
    /// As the operator: of every tenant
    #[arg(long, conflicts_with = "tenant")]
    all_tenants: bool,
}

impl TenantsArg {
    /// Whether the operator asks, not an agent.
    pub(crate) fn is_operators(&self) -> bool {
        self.all_tenants || self.tenant.is_some()
    }

    /// The tenant that the operator names; none for all.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }
}

/// Where an agent's programs remember something between runs.
pub(crate) struct Memory {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// The address of the deployment that it is about.
    pub(crate) deployment: String,
}

/// What every command works with.
#[derive(Clone)]
pub(crate) struct Session {
    global: Global,
    environment: Environment,
    /// How it prints.
    pub(crate) out: Output,
}

impl Session {
    /// With this process's environment.
    pub(crate) fn new(global: Global) -> Self {
        Self {
            out: Output::new(global.json),
            environment: Environment::of_process(),
            global,
        }
    }

    /// How long one request is tried.
    pub(crate) fn timeout(&self) -> Duration {
        self.global.timeout
    }

    /// Connects as an agent.
    pub(crate) async fn agent(&self) -> Result<Client, Failure> {
        let settings = Settings::resolve(&self.global, &self.environment)?;
        match &settings.speaker {
            Speaker::Agent(agent) => self.as_agent(&settings, agent).await,
            Speaker::Credential {
                credential,
                by_default,
            } if credential.is_operator() => Err(operator_is_no_agent(*by_default)),
            Speaker::Credential { credential, .. } => self.connect(&settings, credential).await,
        }
    }

    /// Connects as the operator.
    pub(crate) async fn operator(&self) -> Result<Client, Failure> {
        let settings = Settings::resolve(&self.global, &self.environment)?;
        match &settings.speaker {
            Speaker::Credential { credential, .. } if credential.is_operator() => {
                self.connect(&settings, credential).await
            }
            _ => Err(agent_is_no_operator()),
        }
    }

    /// Connects as the operator, for what takes a while: it is tried for `at_least` so long.
    pub(crate) async fn patient_operator(&self, at_least: Duration) -> Result<Client, Failure> {
        let mut patient = self.clone();
        patient.global.timeout = self.global.timeout.max(at_least);
        patient.operator().await
    }

    /// Connects as whoever the credential speaks for.
    pub(crate) async fn anyone(&self) -> Result<Client, Failure> {
        let settings = Settings::resolve(&self.global, &self.environment)?;
        match &settings.speaker {
            Speaker::Agent(agent) => self.as_agent(&settings, agent).await,
            Speaker::Credential { credential, .. } => self.connect(&settings, credential).await,
        }
    }

    /// The same, for what must answer soon: it is tried for `at_most` so long.
    pub(crate) fn within(&self, at_most: Duration) -> Self {
        let mut hasty = self.clone();
        hasty.global.timeout = self.global.timeout.min(at_most);
        hasty
    }

    /// Where what an agent's programs remember between runs is kept; none without a home directory.
    pub(crate) fn memory(&self) -> Result<Option<Memory>, Failure> {
        let settings = Settings::resolve(&self.global, &self.environment)?;
        let folder = match (&settings.speaker, &settings.layout) {
            (Speaker::Agent(_), Some(layout)) => Some(layout.root().join("state")),
            _ => user_state(),
        };
        Ok(folder.map(|folder| Memory {
            folder,
            deployment: settings.place.url,
        }))
    }

    /// The options that say as whom and where, for a command that another program is to run from anywhere;
    /// none where the environment says it.
    pub(crate) fn speaker_words(&self) -> Result<Vec<String>, Failure> {
        let absolute = |path: &Path| -> Result<String, Failure> {
            let absolute = std::path::absolute(path);
            let remedy = "name the file by its whole path";
            let absolute = absolute.map_err(|error| Failure::file("find", path, &error, remedy))?;
            Ok(absolute.display().to_string())
        };
        let mut words = Vec::new();
        let mut say = |option: &str, value: String| words.extend([option.to_owned(), value]);
        if let Some(creds) = &self.global.creds {
            let credential = Credential::from_file(creds).map_err(ClientError::from)?;
            if credential.is_operator() {
                return Err(operator_is_no_agent(false));
            }
            say("--creds", absolute(creds)?);
        }
        if let Some(AgentName {
            tenant,
            role,
            instance,
        }) = &self.global.r#as
        {
            let settings = Settings::resolve(&self.global, &self.environment)?;
            if let Some(layout) = &settings.layout {
                say("--dir", absolute(layout.root())?);
            }
            let instance = instance.as_ref().map(|name| format!("/{name}"));
            let instance = instance.unwrap_or_default();
            say("--as", format!("{tenant}/{role}{instance}"));
        }
        if let Some(server) = &self.global.server {
            say("--server", server.clone());
        }
        if let Some(context) = &self.global.context {
            say("--context", context.clone());
        }
        Ok(words)
    }

    /// Puts a `context.json` beside a new credential, so that whoever is given the folder finds the
    /// deployment. One that is there stays, and where it leads elsewhere, that is said.
    pub(crate) fn place_context(&self, creds: &Path) -> Result<(), Failure> {
        let settings = Settings::resolve(&self.global, &self.environment)?;
        let wanted = elsewhere(&settings.place)?;
        if let Some(there) = Context::beside(creds)? {
            if let Some(note) = difference(&there, &wanted) {
                self.out.note(&note);
            }
            return Ok(());
        }
        let path = creds.with_file_name(Context::FILE);
        let written = reach::written(&wanted).map_err(std::io::Error::from)?;
        match create_private(&path, &written) {
            // Another `agent issue` was faster.
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                let remedy =
                    "the credential is written; name the server with --server where it is used";
                Err(Failure::file("write", &path, &error, remedy))
            }
            _ => Ok(()),
        }
    }

    async fn connect(
        &self,
        settings: &Settings,
        credential: &Credential,
    ) -> Result<Client, Failure> {
        let mut options = self.options(settings, credential);
        if let Holder::Agent { instance: None, .. } = credential.holder() {
            let state = user_state();
            options = options.instance(default_instance(&self.environment, state.as_deref())?);
        }
        let client = Client::connect(options).await?;
        if let Holder::Agent { .. } = credential.holder() {
            // The command comes first: what cannot be renewed now is tried again by the next.
            let _not_renewed = client.renew_if_due().await;
        }
        Ok(client)
    }

    fn options(&self, settings: &Settings, credential: &Credential) -> ConnectOptions {
        let options = ConnectOptions::new(&settings.place.url, credential.clone());
        let options = if self.environment.woken {
            options.woken()
        } else {
            options
        };
        options
            .name("postroad-cli")
            .trust(settings.place.trust())
            .subjects(self.global.root.clone())
            .timeout(self.global.timeout)
            // This process knows nothing of what the one before it has seen.
            .always_fresh()
    }

    /// Speaks as an agent of the local deployment, with a credential signed for this moment.
    async fn as_agent(&self, settings: &Settings, agent: &AgentName) -> Result<Client, Failure> {
        let layout = settings.layout.as_ref().ok_or_else(|| {
            Failure::usage("as", "there is no deployment here", "name one with --dir")
        })?;
        let instance = match &agent.instance {
            Some(instance) => instance.clone(),
            None => default_instance(&self.environment, Some(&layout.root().join("state")))?,
        };
        let creds = mint(layout.root(), self.global.root.root(), agent, &instance)?;
        let credential = Credential::parse(&creds).map_err(ClientError::from)?;
        let options = self.options(settings, &credential).instance(instance);
        let client = Client::connect(options).await?;
        // The deployment refuses who is not on the roster. Only then is the roster read, to say who is:
        // that read is an event in the tenant's log, and must not be one for every command.
        match client.whoami().await {
            Ok(_) => Ok(client),
            Err(refused) if !is_of_the_name(&refused) => Err(refused.into()),
            Err(refused) => {
                self.expect_on_roster(settings, layout, agent).await?;
                Err(refused.into())
            }
        }
    }

    /// A slip in a name is told with the names that there are.
    async fn expect_on_roster(
        &self,
        settings: &Settings,
        layout: &Layout,
        agent: &AgentName,
    ) -> Result<(), Failure> {
        let operator = Credential::from_file(layout.operator_creds()).map_err(ClientError::from)?;
        let operator = Client::connect(self.options(settings, &operator)).await?;
        let rows = roster(&operator, Some(&agent.tenant)).await?;
        let live = |row: &&Agent| row.kind == AgentKind::Credential && !row.retired && !row.revoked;
        let live: Vec<&Agent> = rows.iter().filter(live).collect();
        let instances: Vec<&InstanceId> = live
            .iter()
            .filter(|row| row.role == agent.role)
            .filter_map(|row| row.instance_id.as_ref())
            .collect();
        if !instances.is_empty() && agent.instance.is_none() {
            return Err(needs_instance(agent, &instances));
        }
        let mut roles: Vec<&str> = live.iter().map(|row| row.role.as_str()).collect();
        if roles.contains(&agent.role.as_str()) {
            return Ok(());
        }
        roles.dedup();
        // The nearest first: a slip is what this is for.
        roles.sort_by_key(|role| strsim::osa_distance(agent.role.as_str(), role));
        Err(not_on_roster(agent, &roles))
    }
}

/// What a context says on another machine: complete, so that it needs no file but the credential.
fn elsewhere(place: &Context) -> Result<Context, Failure> {
    let place = place.elsewhere.as_deref().unwrap_or(place);
    let ca_pem = match (&place.ca_pem, &place.ca) {
        (None, Some(path)) => Some(certificate::inlined(path, "ca")?),
        (pem, _) => pem.clone(),
    };
    Ok(Context {
        url: place.url.clone(),
        ca_pem,
        ..Context::default()
    })
}

/// What to say of a context that is there already, where it is not the one that was wanted.
fn difference(there: &Context, wanted: &Context) -> Option<String> {
    let says = elsewhere(there);
    if says.as_ref().is_ok_and(|says| says == wanted) {
        return None;
    }
    let (file, url) = (Context::FILE, one_line(&there.url));
    if says.is_ok_and(|says| says.ca_pem == wanted.ca_pem) {
        let wanted = one_line(&wanted.url);
        return Some(format!(
            "note: the {file} beside it leads to {url}; to use it here, add --server {wanted}"
        ));
    }
    Some(format!(
        "note: the {file} beside it leads to {url} and trusts another certificate; remove it, and have one \
         written with `agent issue --force`"
    ))
}

/// Whether the roster can tell more: a time-out says nothing about a name.
fn is_of_the_name(error: &ClientError) -> bool {
    matches!(
        error.to_refusal().code,
        ErrorCode::PermissionDenied | ErrorCode::Unauthenticated | ErrorCode::NotFound
    )
}

/// Every row of a tenant's roster.
pub(crate) async fn roster(
    client: &Client,
    tenant: Option<&TenantId>,
) -> Result<Vec<Agent>, Failure> {
    let mut rows = Vec::new();
    let mut page = Page::default().limit(PAGE_LIMIT);
    loop {
        let answer = client.roster(tenant)?.agents(&page).await?;
        rows.extend(answer.agents);
        match answer.next_cursor {
            Some(cursor) => page = page.after(cursor),
            None => return Ok(rows),
        }
    }
}

/// Rows of a page, where a command wants all of them.
#[expect(clippy::cast_possible_truncation, reason = "200 fits")]
pub(crate) const PAGE_LIMIT: u32 = PAGE_MAX as u32;

fn mint(
    dir: &Path,
    root: &str,
    agent: &AgentName,
    instance: &InstanceId,
) -> Result<zeroize::Zeroizing<String>, Failure> {
    mint_session(dir, root, &agent.tenant, &agent.role, Some(instance)).map_err(|error| {
        let remedy = "--as works where the deployment's keys are; elsewhere use --creds FILE";
        Failure::of(ErrorCode::Unauthenticated, &error, remedy)
    })
}

/// The role's credentials name instances, and this machine's name is none of them.
fn needs_instance(agent: &AgentName, instances: &[&InstanceId]) -> Failure {
    let AgentName { tenant, role, .. } = agent;
    let named = instances.iter().take(ROLES_SHOWN);
    let ways: Vec<String> = named
        .map(|instance| format!("--as {tenant}/{role}/{instance}"))
        .collect();
    Refusal::new(
        ErrorCode::NotFound,
        format!("the credentials of `{role}` in tenant `{tenant}` each serve one instance, and none this machine"),
        format!("say which: {}", ways.join(", ")),
    )
    .at("as")
    .into()
}

fn not_on_roster(agent: &AgentName, roles: &[&str]) -> Failure {
    let AgentName { tenant, role, .. } = agent;
    let issue = format!("`postroad agent issue --tenant {tenant} --role {role}` makes it one");
    let remedy = if roles.is_empty() {
        issue
    } else {
        let shown = roles.iter().take(ROLES_SHOWN).copied().collect::<Vec<_>>();
        let more = if roles.len() > shown.len() {
            ", …"
        } else {
            ""
        };
        format!("use one of {}{more}; or {issue}", shown.join(", "))
    };
    Refusal::new(
        ErrorCode::NotFound,
        format!("there is no agent `{role}` in tenant `{tenant}`"),
        remedy,
    )
    .at("as")
    .into()
}

fn operator_is_no_agent(by_default: bool) -> Failure {
    let remedy = "say which agent: --as tenant/role where the deployment runs, or --creds FILE \
                  with a credential from `postroad agent issue`; the operator can list messages, \
                  peers, memories, tasks and missions with --tenant or --all-tenants";
    let (code, message) = if by_default {
        let message = "this command speaks for an agent, and none was named";
        (ErrorCode::Unauthenticated, message)
    } else {
        let message = "this command speaks for an agent, and the credential is the operator's";
        (ErrorCode::PermissionDenied, message)
    };
    Refusal::new(code, message, remedy).into()
}

fn agent_is_no_operator() -> Failure {
    Refusal::new(
        ErrorCode::PermissionDenied,
        "only the operator may do this, and the credential is an agent's",
        "leave out --as and --creds where the deployment runs, or name its operator.creds with --creds",
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_is_not_there_names_those_that_are() {
        let agent: AgentName = "acme/bbo".parse().unwrap();
        let Failure::Told { refusal, .. } = not_on_roster(&agent, &["alice", "bob"]) else {
            panic!("it is told");
        };
        assert_eq!(refusal.code, ErrorCode::NotFound);
        assert!(refusal.remedy.contains("use one of alice, bob"));
        assert!(
            refusal
                .remedy
                .contains("agent issue --tenant acme --role bbo")
        );
        assert_eq!(operator_is_no_agent(true).exit_code(), 4);
        assert_eq!(operator_is_no_agent(false).exit_code(), 4);
    }
}
