//! Lists of tasks and missions page by page, what narrows them, the operator's view of them, and the counts that come with mail.

use crate::harness::{Deployment, log};
use postroad_client::{
    Check, Client, ClientError, MissionList, NewAgent, NewMission, NewTask, ReplayOf, TaskList,
    UserKey,
};
use postroad_protocol::query::Tasks;
use postroad_protocol::task::{Assignee, MissionId, TaskId, TaskPriority};
use postroad_protocol::tenancy::Scope;
use postroad_protocol::{CommandId, ErrorCode, Role, TenantId};

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn titles(page: &Tasks) -> Vec<String> {
    let owned = |one: &postroad_protocol::query::Task| match &one.tenant_id {
        Some(tenant) => format!("{tenant}: {}", one.title),
        None => one.title.clone(),
    };
    page.tasks.iter().map(owned).collect()
}

fn refused<T: std::fmt::Debug>(told: Result<T, ClientError>) -> (ErrorCode, Option<String>) {
    match told.unwrap_err() {
        ClientError::Refused(refusal) => (refusal.code, refusal.field),
        other => panic!("{other:?}"),
    }
}

async fn every_page(ask: impl AsyncFn(TaskList) -> Tasks, wanted: TaskList) -> Vec<String> {
    let (mut all, mut next) = (Vec::new(), wanted.clone());
    loop {
        let page = ask(next).await;
        assert_eq!(page.truncated, page.next_cursor.is_some());
        all.extend(titles(&page));
        match page.next_cursor {
            Some(cursor) => next = wanted.clone().after(cursor),
            None => return all,
        }
    }
}

/// What the log of `of` says of reads by `verb`.
async fn audited(operator: &Client, of: &str, verb: &str) -> Vec<String> {
    let events = log::events(operator, ReplayOf::Tenant(tenant(of)), 1).await;
    let reads = events
        .iter()
        .filter(|event| event.type_name == "operator_read");
    let told = reads.map(|event| event.data.to_string());
    told.filter(|data| data.contains(verb)).collect()
}

#[tokio::test]
async fn lists_are_the_tenants_own_and_go_on_where_a_page_ended() {
    let deployment = Deployment::start();
    for name in ["acme", "globex"] {
        deployment.tenant(name).await;
    }
    let tau = deployment.agent("acme", "tau", "i1").await;
    let theirs = deployment.agent("globex", "tau", "i1").await;
    let goal = tau.create_mission(&NewMission::new("Goal")).await.unwrap();
    let priorities = [TaskPriority::Low, TaskPriority::Urgent, TaskPriority::Low];
    for (number, priority) in priorities.into_iter().enumerate() {
        let task = NewTask::new(format!("{number}")).priority(priority);
        let task = task.project("studio/acme").mission(goal.mission_id);
        tau.create_task(&task).await.unwrap();
    }
    let other = NewTask::new("elsewhere").project("studio/globex");
    theirs.create_task(&other).await.unwrap();
    let own = async |wanted: TaskList| tau.list_tasks(&wanted).await.unwrap();
    let by_ones = TaskList::default().limit(1);
    assert_eq!(every_page(own, by_ones.clone()).await, ["1", "0", "2"]);
    let first = own(by_ones.clone()).await.next_cursor.unwrap();
    let stolen = theirs.list_tasks(&by_ones.clone().after(first)).await;
    let bad = (ErrorCode::InvalidArgument, Some("cursor".to_owned()));
    assert_eq!(refused(stolen), bad);
    let missions = MissionList::default().limit(1);
    let named = NewMission::new("Later");
    tau.create_mission(&named).await.unwrap();
    let page = tau.list_missions(&missions).await.unwrap();
    assert_eq!(page.missions[0].title, "Later");
    let next = missions.after(page.next_cursor.unwrap());
    let page = tau.list_missions(&next).await.unwrap();
    assert_eq!(
        (page.missions[0].title.as_str(), page.next_cursor),
        ("Goal", None)
    );
    assert_eq!(page.missions[0].progress.total, 3);

    // A mission of another tenant is as unknown as one that nobody has, to agents and to the operator.
    let operator = deployment.operator().await;
    let operator = operator.operator().unwrap();
    let unknown = MissionId::parse(&CommandId::generate().to_string()).unwrap();
    let not_found = (ErrorCode::NotFound, Some("missionId".to_owned()));
    for mission in [goal.mission_id, unknown] {
        let wanted = TaskList::default().mission(mission);
        assert_eq!(refused(theirs.list_tasks(&wanted).await), not_found);
        let globex = tenant("globex");
        let told = operator.list_tasks(Some(&globex), &wanted).await;
        assert_eq!(refused(told), not_found);
    }
    let denied = (ErrorCode::PermissionDenied, Some("project".to_owned()));
    let studio = TaskList::default().project("studio/acme");
    assert_eq!(refused(theirs.list_tasks(&studio).await), denied);
    let globex = tenant("globex");
    let told = operator.list_tasks(Some(&globex), &studio).await;
    assert_eq!(refused(told), denied);
    let studio = MissionList::default().project("studio/acme");
    assert_eq!(refused(theirs.list_missions(&studio).await), denied);
}

#[tokio::test]
async fn the_operator_sees_tasks_and_missions_of_all_and_each_read_is_told_where_it_touched() {
    let deployment = Deployment::start();
    let client = deployment.operator().await;
    let operator = client.operator().unwrap();
    let mut made: Vec<(TenantId, TaskId, MissionId)> = Vec::new();
    for name in ["acme", "globex"] {
        deployment.tenant(name).await;
        let tau = deployment.agent(name, "tau", "i1").await;
        let goal = tau.create_mission(&NewMission::new("Goal")).await.unwrap();
        let mut last = None;
        for title in ["one", "two"] {
            let task = NewTask::new(title).project(format!("studio/{name}"));
            last = Some(tau.create_task(&task).await.unwrap().task_id);
        }
        made.push((tenant(name), last.unwrap(), goal.mission_id));
    }
    let all = async |wanted: TaskList| operator.list_tasks(None, &wanted).await.unwrap();
    let by_ones = TaskList::default().limit(1);
    let everything = ["acme: one", "acme: two", "globex: one", "globex: two"];
    assert_eq!(every_page(all, by_ones).await, everything);
    let studio = TaskList::default().project("studio/globex").ready();
    assert_eq!(titles(&all(studio).await), everything[2..]);
    let last = audited(&client, "globex", "list_tasks")
        .await
        .pop()
        .unwrap();
    assert!(
        last.contains("2 tasks of studio/globex that are ready"),
        "{last}"
    );
    let missions = operator.list_missions(None, &MissionList::default()).await;
    let owners: Vec<_> = missions
        .unwrap()
        .missions
        .into_iter()
        .map(|one| one.tenant_id)
        .collect();
    assert_eq!(owners, [Some(tenant("acme")), Some(tenant("globex"))]);
    for (owner, task, goal) in made {
        let one = operator.get_task(&owner, task).await.unwrap().task;
        assert_eq!(
            (one.title.as_str(), one.tenant_id),
            ("two", Some(owner.clone()))
        );
        let one = operator.get_mission(&owner, goal).await.unwrap().mission;
        assert_eq!(
            (one.title.as_str(), one.tenant_id),
            ("Goal", Some(owner.clone()))
        );
        for (verb, what) in [
            ("get_task", format!("task {task}")),
            ("get_mission", format!("mission {goal}")),
            ("list_missions", "1 missions".to_owned()),
        ] {
            let told = audited(&client, owner.as_str(), verb).await;
            assert_eq!(told.len(), 1, "{verb}: {told:?}");
            assert!(told[0].contains(&what), "{told:?}");
        }
    }
}

#[tokio::test]
async fn a_check_counts_the_work_that_waits_where_the_role_may_see_it() {
    let deployment = Deployment::start();
    deployment.tenant("acme").await;
    let tau = deployment.agent("acme", "tau", "i1").await;
    let operator = deployment.operator().await;
    let user = UserKey::generate();
    let deaf = Role::parse("deaf").unwrap();
    let agent = NewAgent::new(deaf.clone()).instance("i1".parse().unwrap());
    let agent = agent.scopes(vec![Scope::Messages]);
    let issued = operator
        .operator()
        .unwrap()
        .issue_credential(&tenant("acme"), &agent, &user.public_key())
        .await
        .unwrap();
    let creds = user.creds(&issued.jwt).to_string();
    let mailed = crate::harness::connect(&deployment.url, &creds, None).await;
    let counts = async |client: &Client| client.check(&Check::default()).await.unwrap().tasks;
    assert_eq!(counts(&tau).await, None, "there is none");
    for role in [Role::parse("tau").unwrap(), deaf] {
        let assignee = Assignee {
            role,
            instance: None,
        };
        let task = NewTask::new("Something").assigned_to(assignee);
        tau.create_task(&task).await.unwrap();
    }
    assert_eq!(counts(&tau).await.unwrap().ready, 1);
    assert_eq!(counts(&mailed).await, None);
}
