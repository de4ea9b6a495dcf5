//! Questions about tasks and missions: what agents ask of their own tenant, and what the operator asks of one or of all, each
//! with its event in the tenant's log. What lists hold is the rows' to say.

use crate::answer::{Answer, Answerer, Asked, Call};
use crate::cursor::{Cursor, Kind};
use crate::global::{Part, Told, Tour};
use crate::rows::{Seen, read_rows};
use crate::store::{MissionsWanted, Room, StoreError, TaskPlace, TasksWanted, TenantReader};
use postroad_protocol::error::Refusal;
use postroad_protocol::id::TenantId;
use postroad_protocol::query::{
    ListMissions, ListTasks, Mission, Missions, OneMission, OneTask, Task, Tasks, bad_cursor, wire,
};
use postroad_protocol::task::{MissionId, Project, ProjectText, TaskId};
use postroad_protocol::tenancy::TenantScope;

/// The refusal of a task that the caller's tenant does not have.
fn no_task() -> Refusal {
    Refusal::not_found("taskId", "task")
}

/// The refusal of a mission that the caller's tenant does not have.
fn no_mission() -> Refusal {
    Refusal::not_found("missionId", "mission")
}

/// The project that is asked for, as `tenant` has it.
fn project_of(tenant: &TenantId, wanted: Option<&ProjectText>) -> Result<Option<Project>, Refusal> {
    wanted.map(|text| text.resolve(tenant)).transpose()
}

/// What is asked for of a tenant's tasks, in its `project`.
fn tasks_wanted(wanted: &ListTasks, project: Option<Project>) -> TasksWanted {
    TasksWanted {
        project,
        assigned_to: wanted.assigned_to.clone(),
        statuses: wanted.statuses.clone(),
        mission: wanted.mission,
        priority: wanted.priority,
        ready: wanted.ready,
    }
}

/// What is asked for of a tenant's missions, in its `project`.
fn missions_wanted(wanted: &ListMissions, project: Option<Project>) -> MissionsWanted {
    MissionsWanted {
        project,
        status: wanted.status,
        pilot: wanted.pilot.clone(),
    }
}

impl Answerer {
    pub(crate) async fn get_task(&self, call: &Call<'_>, id: TaskId) -> Result<Answer, Refusal> {
        let (found, seen) = call.rows(move |rows, _| rows.task(id)).await?;
        Ok(call.answer(&one_task(found.ok_or_else(no_task)?, seen)))
    }

    pub(crate) async fn get_mission(
        &self,
        call: &Call<'_>,
        id: MissionId,
    ) -> Result<Answer, Refusal> {
        let (found, seen) = call.rows(move |rows, _| rows.mission(id)).await?;
        Ok(call.answer(&one_mission(found.ok_or_else(no_mission)?, seen)))
    }

    pub(crate) async fn list_tasks(
        &self,
        call: &Call<'_>,
        asked: ListTasks,
    ) -> Result<Answer, Refusal> {
        let project = project_of(call.scope.tenant(), asked.project.as_ref())?;
        let after = call.place(asked.page.cursor.as_deref(), Kind::Tasks)?;
        let after = after.as_ref().map(task_place).transpose()?;
        let wanted = tasks_wanted(&asked, project);
        let mut limit = asked.page.limit;
        loop {
            let wanted = wanted.clone();
            let read = move |rows: &TenantReader<'_>, _: Seen| {
                if lacks_mission(rows, wanted.mission)? {
                    return Ok(None);
                }
                rows.tasks(&wanted, after, &mut Room::of(limit)).map(Some)
            };
            let (page, seen) = call.rows(read).await?;
            let page = page.ok_or_else(no_mission)?;
            let next = page.next.map(TaskPlace::to_bytes);
            let next_cursor =
                call.cursor(Kind::Tasks, seen, next.as_ref().map(<[u8; 9]>::as_slice));
            let held = page.tasks.len();
            let answer = call.answer(&Tasks {
                tasks: page.tasks,
                truncated: next_cursor.is_some(),
                next_cursor,
                position: Some(seen.position),
                stale: seen.stale,
            });
            if !self.is_too_long(&answer, &mut limit, held) {
                return Ok(answer);
            }
        }
    }

    pub(crate) async fn list_missions(
        &self,
        call: &Call<'_>,
        asked: ListMissions,
    ) -> Result<Answer, Refusal> {
        let project = project_of(call.scope.tenant(), asked.project.as_ref())?;
        let before = call.sequence(asked.page.cursor.as_deref(), Kind::Missions)?;
        let wanted = missions_wanted(&asked, project);
        let mut limit = asked.page.limit;
        loop {
            let wanted = wanted.clone();
            let read = move |rows: &TenantReader<'_>, _: Seen| {
                rows.missions(&wanted, before, &mut Room::of(limit))
            };
            let (page, seen) = call.rows(read).await?;
            let next = page.next_before.map(u64::to_be_bytes);
            let next_cursor =
                call.cursor(Kind::Missions, seen, next.as_ref().map(<[u8; 8]>::as_slice));
            let held = page.missions.len();
            let answer = call.answer(&Missions {
                missions: page.missions,
                truncated: next_cursor.is_some(),
                next_cursor,
                position: Some(seen.position),
                stale: seen.stale,
            });
            if !self.is_too_long(&answer, &mut limit, held) {
                return Ok(answer);
            }
        }
    }

    /// One task of the tenant that the operator names.
    pub(crate) async fn get_tenants_task(
        &self,
        asked: &Asked<'_>,
        reading: &wire::Reading,
        id: TaskId,
    ) -> Result<Answer, Refusal> {
        let what = format!("task {id}");
        let read = move |rows: &TenantReader<'_>| rows.task(id);
        let (found, seen) = self.read_of_tenant(asked, reading, &what, read).await?;
        let mut task = found.ok_or_else(no_task)?;
        task.tenant_id = Some(asked.context.scope()?.tenant().clone());
        Ok(Answer::of(asked.encoding, &one_task(task, seen)))
    }

    /// One mission of the tenant that the operator names.
    pub(crate) async fn get_tenants_mission(
        &self,
        asked: &Asked<'_>,
        reading: &wire::Reading,
        id: MissionId,
    ) -> Result<Answer, Refusal> {
        let what = format!("mission {id}");
        let read = move |rows: &TenantReader<'_>| rows.mission(id);
        let (found, seen) = self.read_of_tenant(asked, reading, &what, read).await?;
        let mut mission = found.ok_or_else(no_mission)?;
        mission.tenant_id = Some(asked.context.scope()?.tenant().clone());
        Ok(Answer::of(asked.encoding, &one_mission(mission, seen)))
    }

    /// Reads rows of the tenant that the operator names, once its log tells of it.
    async fn read_of_tenant<T: Send + 'static>(
        &self,
        asked: &Asked<'_>,
        reading: &wire::Reading,
        what: &str,
        read: impl FnOnce(&TenantReader<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<(T, Seen), Refusal> {
        let scope = asked.context.scope()?;
        let operator = asked.context.require_operator()?;
        self.audit(scope, operator, asked.verb, what).await?;
        let (_, host) = self.home(scope).await?;
        if let Some(position) = reading.position {
            host.wait_for(position).await?;
        }
        if reading.fresh == Some(true) {
            host.wait_for_end().await?;
        }
        read_rows(&host, scope, move |rows, _| read(rows)).await
    }

    /// Tasks of the tenant that the operator names, or of all.
    pub(crate) async fn list_tenant_tasks(
        &self,
        asked: &Asked<'_>,
        reading: &wire::Reading,
        list: ListTasks,
    ) -> Result<Answer, Refusal> {
        let tour = Tour::begin(asked, reading, Kind::Tasks, &list.page)?;
        let named = asked.context.scope_or_all();
        expect_own_project(named, list.project.as_ref())?;
        let (limit, mission) = (list.page.limit, list.mission);
        let what = format!("tasks{}", narrowed_tasks(&list));
        let read = move |rows: &TenantReader<'_>, inside: Option<&[u8]>, mut room: Room| {
            let Ok(project) = project_in(rows, list.project.as_ref()) else {
                return Ok(Part::empty(room));
            };
            let after = inside.and_then(TaskPlace::from_bytes);
            let page = rows.tasks(&tasks_wanted(&list, project), after, &mut room)?;
            Ok(Part {
                rows: page.tasks,
                next: page.next.map(|place| place.to_bytes().into()),
                room,
            })
        };
        let name = |task: &mut Task, tenant| task.tenant_id = Some(tenant);
        let show = |encoding, told: Told<Task>| {
            Answer::of(
                encoding,
                &Tasks {
                    tasks: told.rows,
                    truncated: told.next_cursor.is_some(),
                    next_cursor: told.next_cursor,
                    position: told.position,
                    stale: told.stale,
                },
            )
        };
        let (answer, held) = self.tell(&tour, limit, &what, read, name, show).await?;
        if let (0, Some(scope)) = (held, named) {
            self.expect_mission(scope, mission).await?;
        }
        Ok(answer)
    }

    /// Refuses a mission that the tenant does not have: a list of its tasks is empty, and says less.
    async fn expect_mission(
        &self,
        scope: &TenantScope,
        mission: Option<MissionId>,
    ) -> Result<(), Refusal> {
        let (_, host) = self.home(scope).await?;
        let read = move |rows: &TenantReader<'_>, _: Seen| lacks_mission(rows, mission);
        match read_rows(&host, scope, read).await? {
            (true, _) => Err(no_mission()),
            (false, _) => Ok(()),
        }
    }

    /// Missions of the tenant that the operator names, or of all.
    pub(crate) async fn list_tenant_missions(
        &self,
        asked: &Asked<'_>,
        reading: &wire::Reading,
        list: ListMissions,
    ) -> Result<Answer, Refusal> {
        let tour = Tour::begin(asked, reading, Kind::Missions, &list.page)?;
        expect_own_project(asked.context.scope_or_all(), list.project.as_ref())?;
        let (limit, what) = (
            list.page.limit,
            format!("missions{}", narrowed_missions(&list)),
        );
        let read = move |rows: &TenantReader<'_>, inside: Option<&[u8]>, mut room: Room| {
            let Ok(project) = project_in(rows, list.project.as_ref()) else {
                return Ok(Part::empty(room));
            };
            let before = inside.and_then(|place| <[u8; 8]>::try_from(place).ok());
            let before = before.map(u64::from_be_bytes);
            let page = rows.missions(&missions_wanted(&list, project), before, &mut room)?;
            Ok(Part {
                rows: page.missions,
                next: page.next_before.map(|before| before.to_be_bytes().into()),
                room,
            })
        };
        let name = |mission: &mut Mission, tenant| mission.tenant_id = Some(tenant);
        let show = |encoding, told: Told<Mission>| {
            Answer::of(
                encoding,
                &Missions {
                    missions: told.rows,
                    truncated: told.next_cursor.is_some(),
                    next_cursor: told.next_cursor,
                    position: told.position,
                    stale: told.stale,
                },
            )
        };
        let (answer, _) = self.tell(&tour, limit, &what, read, name, show).await?;
        Ok(answer)
    }
}

fn one_task(task: Task, seen: Seen) -> OneTask {
    OneTask {
        task,
        position: seen.position,
        stale: seen.stale,
    }
}

fn one_mission(mission: Mission, seen: Seen) -> OneMission {
    OneMission {
        mission,
        position: seen.position,
        stale: seen.stale,
    }
}

/// The place in a cursor of tasks.
fn task_place(cursor: &Cursor) -> Result<TaskPlace, Refusal> {
    TaskPlace::from_bytes(cursor.place()).ok_or_else(bad_cursor)
}

/// Whether a mission is asked for that the tenant does not have.
fn lacks_mission(rows: &TenantReader<'_>, mission: Option<MissionId>) -> Result<bool, StoreError> {
    Ok(match mission {
        Some(mission) => !rows.has_mission(mission)?,
        None => false,
    })
}

/// Refuses another tenant's studio where one tenant is asked about.
fn expect_own_project(
    named: Option<&TenantScope>,
    wanted: Option<&ProjectText>,
) -> Result<(), Refusal> {
    named.map_or(Ok(()), |scope| project_of(scope.tenant(), wanted).map(drop))
}

/// What is asked for of the tenant whose rows these are; refused where it is another's studio.
fn project_in(
    rows: &TenantReader<'_>,
    wanted: Option<&ProjectText>,
) -> Result<Option<Project>, Refusal> {
    let tenant = TenantId::parse(rows.owner()).map_err(|error| error.at("tenantId"))?;
    project_of(&tenant, wanted)
}

/// By what a list was narrowed, for the audit trail.
fn narrowed_tasks(list: &ListTasks) -> String {
    let mut text = of_project(list.project.as_ref());
    if let Some(assignee) = &list.assigned_to {
        text.push_str(&format!(" of {assignee}"));
    }
    for (number, status) in list.statuses.iter().enumerate() {
        let join = if number == 0 { " in state " } else { ", " };
        text.push_str(join);
        text.push_str(status.word());
    }
    if let Some(mission) = list.mission {
        text.push_str(&format!(" of mission {mission}"));
    }
    if let Some(priority) = list.priority {
        text.push_str(&format!(" of priority {priority}"));
    }
    if list.ready {
        text.push_str(" that are ready");
    }
    text
}

/// By what a list was narrowed, for the audit trail.
fn narrowed_missions(list: &ListMissions) -> String {
    let mut text = of_project(list.project.as_ref());
    if let Some(status) = list.status {
        text.push_str(&format!(" in state {status}"));
    }
    if let Some(pilot) = &list.pilot {
        text.push_str(&format!(" led by {pilot}"));
    }
    text
}

fn of_project(project: Option<&ProjectText>) -> String {
    match project {
        Some(ProjectText::Studio(tenant)) => format!(" of studio/{tenant}"),
        Some(ProjectText::Named(name)) => format!(" of {name}"),
        None => String::new(),
    }
}
