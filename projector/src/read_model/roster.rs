//! The roster: roles and their credentials. Owns when a role is there and when it is retired;
//! what a registration does to a reader is in [`super::readers`].

use super::batch::{FoldError, Refused, TenantWriter};
use super::hot::{Hot, HotCache, HotRow};
use super::keys::{ListedKey, RowKey, read_name, write_name};
use super::lanes::Lane;
use super::priorities::Counts;
use super::readers::ReaderRow;
use super::table::{Listed, PageOf, Row, Table, TenantReader};
use crate::store::StoreError;
use postroad_protocol::event::{
    AgentRetired, CredentialIssued, CredentialRevoked, ReaderRegistered, SummarySet,
};
use postroad_protocol::id::{InstanceId, Reader, Role, TimeMs};
use postroad_protocol::query::{Agent, AgentKind};
use postroad_protocol::tenancy::Scope;
use serde::{Deserialize, Serialize};

/// A role that was ever on the roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RoleRow {
    /// The broadcast lane's counts at the first credential: what came before is not the role's.
    pub(super) broadcast_start: Counts,
    /// The broadcast lane's count when the last credential was retired.
    pub(super) broadcast_end: Option<u64>,
    /// Credentials that were not retired.
    credentials: u64,
    /// Those of them that were not revoked: they serve the role's instances.
    standing: u64,
    /// What those may touch, all together: a bit for each place in [`Scope::ALL`].
    scopes: u8,
    /// Readers that were not retired.
    pub(super) readers: u64,
}

impl Row for RoleRow {
    type Key = Role;
    const TABLE: Table = Table::Roles;
}

impl HotRow for RoleRow {
    fn cache(hot: &mut Hot) -> &mut HotCache<Self> {
        &mut hot.roles
    }
}

impl RoleRow {
    /// Whether a credential of it was issued and not retired. Expiry does not count: it may be renewed.
    pub(super) fn is_live(&self) -> bool {
        self.credentials > 0
    }

    /// Whether a credential of it stands: revoked ones keep its mail coming and serve nobody.
    pub(super) fn is_served(&self) -> bool {
        self.standing > 0
    }

    /// Whether a credential that stands gives the scope to one of its instances.
    fn grants(&self, scope: Scope) -> bool {
        scope == Scope::Own || self.scopes & bits(&[scope]) != 0
    }
}

fn bits(scopes: &[Scope]) -> u8 {
    let places = Scope::ALL.iter().enumerate();
    let had = places.filter(|(_, scope)| scopes.contains(scope));
    had.fold(0, |bits, (place, _)| bits | 1 << place)
}

/// A credential. A renewal for the same key and instance replaces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CredentialRow {
    scopes: Vec<Scope>,
    issued_at: TimeMs,
    expires_at: TimeMs,
    retired: bool,
    revoked: bool,
    token: bool,
}

impl CredentialRow {
    fn stands(&self) -> bool {
        !self.retired && !self.revoked
    }
}

impl Row for CredentialRow {
    type Key = CredentialKey;
    const TABLE: Table = Table::Credentials;
}

/// One key for two instances is two credentials: both of them can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CredentialKey {
    role: Role,
    instance: Option<InstanceId>,
    public_key: String,
}

impl RowKey for CredentialKey {
    fn write(&self, key: &mut Vec<u8>) {
        self.role.write(key);
        write_name(self.instance.as_ref().map_or("", InstanceId::as_str), key);
        write_name(&self.public_key, key);
    }
}

impl ListedKey for CredentialKey {
    fn read(key: &mut &[u8]) -> Option<Self> {
        let role = Role::read(key)?;
        let instance = match read_name(key)? {
            "" => None,
            name => Some(InstanceId::parse(name).ok()?),
        };
        let public_key = read_name(key)?.to_owned();
        Some(Self {
            role,
            instance,
            public_key,
        })
    }
}

impl TenantWriter<'_, '_> {
    /// Puts a credential on the roster, and its role when it is the first. One for an instance
    /// registers that reader.
    pub(super) fn credential_issued(
        &mut self,
        time: TimeMs,
        data: &CredentialIssued,
    ) -> Result<(), FoldError> {
        let broadcast_start = self.lane_counts(&Lane::Broadcast)?;
        self.open_lane(&Lane::Role(data.role.clone()))?;
        let key = CredentialKey {
            role: data.role.clone(),
            instance: data.instance.clone(),
            public_key: data.public_key.clone(),
        };
        let before = self.get::<CredentialRow>(&key)?;
        let is_more = before.as_ref().is_none_or(|before| before.retired);
        let stands_anew = before.is_none_or(|before| !before.stands());
        let role = self
            .edit::<RoleRow>(&data.role)?
            .get_or_insert_with(|| RoleRow {
                broadcast_start,
                broadcast_end: None,
                credentials: 0,
                standing: 0,
                scopes: 0,
                readers: 0,
            });
        let comes = !role.is_live();
        role.broadcast_end = None;
        role.credentials += u64::from(is_more);
        role.standing += u64::from(stands_anew);
        role.scopes |= bits(&data.scopes);
        if comes {
            self.tenant_row()?.roles += 1;
        }
        let row = CredentialRow {
            scopes: data.scopes.clone(),
            issued_at: time,
            expires_at: data.expires_at,
            retired: false,
            revoked: false,
            token: data.token,
        };
        self.put(&key, &row)?;
        if let Some(instance) = &data.instance {
            let role = data.role.clone();
            self.register(
                &Reader {
                    role,
                    instance: instance.clone(),
                },
                time,
            )?;
        }
        Ok(())
    }

    /// Takes a role off the roster with every reader, or one instance with the credentials that
    /// serve it alone. A role without a credential left is retired.
    pub(super) fn agent_retired(&mut self, data: &AgentRetired) -> Result<(), FoldError> {
        if self.see::<RoleRow>(&data.role)?.is_none() {
            return Err(Refused::UnknownRole.into());
        }
        let mut gone = 0;
        for key in self.keys::<CredentialRow>(&data.role)? {
            let Some(row) = self.get::<CredentialRow>(&key)? else {
                continue;
            };
            let is_meant = data.instance.is_none() || key.instance == data.instance;
            if is_meant && !row.retired {
                gone += 1;
                let retired = true;
                self.put(&key, &CredentialRow { retired, ..row })?;
            }
        }
        if let Some(instance) = &data.instance {
            self.end_reader(&Reader {
                role: data.role.clone(),
                instance: instance.clone(),
            })?;
        } else {
            self.write_hot()?;
            for reader in self.keys::<ReaderRow>(&data.role)? {
                self.end_reader(&reader)?;
            }
        }
        self.count_standing(&data.role)?;
        let broadcast_end = self.lane_counts(&Lane::Broadcast)?.total();
        if let Some(role) = self.edit::<RoleRow>(&data.role)? {
            role.credentials -= gone;
            if gone > 0 && !role.is_live() {
                role.broadcast_end = Some(broadcast_end);
                self.tenant_row()?.roles -= 1;
            }
        }
        Ok(())
    }

    /// Ends credentials. Their role keeps its mail, since another may take their place.
    pub(super) fn credential_revoked(&mut self, data: &CredentialRevoked) -> Result<(), FoldError> {
        if self.see::<RoleRow>(&data.role)?.is_none() {
            return Err(Refused::UnknownRole.into());
        }
        for key in self.keys::<CredentialRow>(&data.role)? {
            if let Some(row) = self.get::<CredentialRow>(&key)?
                && data.public_keys.contains(&key.public_key)
            {
                let revoked = true;
                self.put(&key, &CredentialRow { revoked, ..row })?;
            }
        }
        Ok(self.count_standing(&data.role)?)
    }

    /// Counts the credentials of a role that stand, after some of them ended.
    fn count_standing(&mut self, role: &Role) -> Result<(), StoreError> {
        let (mut standing, mut scopes) = (0, 0);
        for key in self.keys::<CredentialRow>(role)? {
            let row = self.get::<CredentialRow>(&key)?;
            if let Some(row) = row.filter(CredentialRow::stands) {
                standing += 1;
                scopes |= bits(&row.scopes);
            }
        }
        if let Some(role) = self.edit::<RoleRow>(role)? {
            (role.standing, role.scopes) = (standing, scopes);
        }
        Ok(())
    }

    /// Registers a reader at its first call. One whose role was retired meanwhile registers too:
    /// it takes part again as soon as its role does.
    pub(super) fn reader_registered(
        &mut self,
        time: TimeMs,
        data: &ReaderRegistered,
    ) -> Result<(), FoldError> {
        let role = &data.reader.role;
        if self.see::<RoleRow>(role)?.is_none() {
            return Err(Refused::UnknownRole.into());
        }
        self.register(&data.reader, time)?;
        self.heard_of(&data.reader, time)?;
        Ok(())
    }

    /// The reader says what it is doing.
    pub(super) fn summary_set(&mut self, time: TimeMs, data: &SummarySet) -> Result<(), FoldError> {
        let role = &data.reader.role;
        if self.see::<RoleRow>(role)?.is_none() {
            return Err(Refused::UnknownRole.into());
        }
        self.heard_of(&data.reader, time)?;
        let row = self
            .edit::<ReaderRow>(&data.reader)?
            .get_or_insert_default();
        row.summary.clone_from(&data.summary);
        Ok(())
    }
}

/// A place in the list of the roster: a role's credentials come before its readers.
const CREDENTIAL: u8 = b'c';
const READER: u8 = b'r';

impl TenantReader<'_> {
    /// Whether a credential of `role` that stands has `scope`.
    pub fn role_grants(&self, role: &Role, scope: Scope) -> Result<bool, StoreError> {
        let row = self.get::<RoleRow>(role)?;
        Ok(row.is_some_and(|row| row.grants(scope)))
    }

    /// Every credential and reader, retired ones too, in order of role.
    pub fn roster(&self, page: PageOf<'_>) -> Result<Listed<Agent>, StoreError> {
        let mut place = page.after.unwrap_or_default();
        let from = Role::read(&mut place);
        let (kind, rest) = place.split_first().unzip();
        let mut rows = Vec::new();
        for role in self.roles_from(from.as_ref())? {
            let (role, _) = role?;
            let is_resumed = from.as_ref() == Some(&role);
            let behind = |kind_now: u8| {
                let rest = rest.filter(|_| is_resumed && kind == Some(&kind_now))?;
                Some([role.bytes().as_slice(), rest].concat())
            };
            if !(is_resumed && kind == Some(&READER)) {
                for row in self.list::<CredentialRow>(&role, behind(CREDENTIAL).as_deref())? {
                    let (key, row) = row?;
                    if rows.len() == page.limit {
                        return Ok(more(rows));
                    }
                    rows.push(credential(key, row));
                }
            }
            for row in self.list::<ReaderRow>(&role, behind(READER).as_deref())? {
                let (key, row) = row?;
                if rows.len() == page.limit {
                    return Ok(more(rows));
                }
                if row.is_known() {
                    rows.push(reader(key, &row));
                }
            }
        }
        Ok(Listed { rows, next: None })
    }

    /// Roles that were ever on the roster, in order, from `first` on.
    pub(super) fn roles_from(
        &self,
        first: Option<&Role>,
    ) -> Result<impl Iterator<Item = Result<(Role, RoleRow), StoreError>> + use<'_>, StoreError>
    {
        // The key of a role ends in a zero byte, so what it begins with lies just before it.
        let before = first.map(|role| role.as_str().as_bytes().to_vec());
        self.list::<RoleRow>(&(), before.as_deref())
    }
}

fn credential(key: CredentialKey, row: CredentialRow) -> Agent {
    Agent {
        role: key.role,
        instance_id: key.instance,
        kind: AgentKind::Credential,
        public_key: Some(key.public_key),
        scopes: row.scopes,
        since: row.issued_at,
        expires_at: Some(row.expires_at),
        retired: row.retired,
        revoked: row.revoked,
        token: row.token,
    }
}

fn reader(key: Reader, row: &ReaderRow) -> Agent {
    Agent {
        role: key.role,
        instance_id: Some(key.instance),
        kind: AgentKind::Reader,
        public_key: None,
        scopes: Vec::new(),
        since: row.registered_at,
        expires_at: None,
        retired: !row.live,
        revoked: false,
        token: false,
    }
}

/// Characters of a public key that a place in the list holds: a whole one would not fit a cursor
/// beside the longest names, and as many tell random keys apart.
const PLACE_KEY_CHARS: usize = 40;

/// A page that another follows: it begins behind the last row.
fn more(rows: Vec<Agent>) -> Listed<Agent> {
    let next = rows.last().map(|last| {
        let mut place = last.role.bytes();
        let instance = last.instance_id.as_ref().map_or("", InstanceId::as_str);
        let Some(public_key) = &last.public_key else {
            place.push(READER);
            write_name(instance, &mut place);
            return place.into();
        };
        place.push(CREDENTIAL);
        write_name(instance, &mut place);
        if let Some(beginning) = public_key.as_bytes().get(..PLACE_KEY_CHARS) {
            place.extend_from_slice(beginning);
            // Behind every key that begins so.
            place.push(u8::MAX);
        } else {
            write_name(public_key, &mut place);
        }
        place.into()
    });
    Listed { rows, next }
}
