//! Shows prepared queries to every node, which answers them over DNS: each is an object of the API too.
//!
//! The key space is what counts; the objects follow it.

use std::collections::HashMap;
use std::time::Duration;

use portolan_api::typed::{Object as _, PreparedQuery as Published};
use portolan_base::error::chain;
use portolan_client::DeleteOptions;

use super::{PreparedQuery, all, records};
use crate::Error;
use crate::state::State;

/// How soon what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What brings the objects in line with the queries.
#[derive(Debug, PartialEq)]
enum Step {
    Create(Published),
    Update(Published),
    Delete(String),
}

/// Follows the queries until shutdown is requested.
pub(crate) async fn publish(state: &State) {
    let waiter = state.space.feed().prefix(&records(&state.space).prefix());
    loop {
        // Listening begins before reading, so that no change falls between.
        let changed = waiter.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let until = match bring_in_line(state).await {
            Ok(()) => state.shutdown.run(changed).await,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "prepared queries cannot be shown to DNS; trying again");
                state.shutdown.run(tokio::time::sleep(RETRY)).await
            }
        };
        if until.is_none() {
            return;
        }
    }
}

async fn bring_in_line(state: &State) -> Result<(), Error> {
    let wanted = all(&state.space).await?;
    let present = state.client.list::<Published>("", &Default::default()).await?.items;
    for step in plan(&wanted, &present) {
        match step {
            Step::Create(object) => drop(state.client.create(&object).await?),
            Step::Update(object) => drop(state.client.update(&object).await?),
            Step::Delete(name) => match state.client.delete::<Published>("", &name, &DeleteOptions::default()).await {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                Ok(()) | Err(_) => {}
            },
        }
    }
    Ok(())
}

fn plan(wanted: &[PreparedQuery], present: &[Published]) -> Vec<Step> {
    let mut left: HashMap<&str, &Published> = present.iter().map(|object| (object.name(), object)).collect();
    let mut steps = Vec::new();
    for query in wanted {
        let spec = query.spec();
        match left.remove(query.id.as_str()) {
            Some(object) if object.spec == spec => {}
            Some(object) => steps.push(Step::Update(Published { spec, ..object.clone() })),
            None => {
                let mut object = Published { spec, ..Published::default() };
                object.metadata.name = Some(query.id.clone());
                steps.push(Step::Create(object));
            }
        }
    }
    steps.extend(left.into_keys().map(|name| Step::Delete(name.to_owned())));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_follow_the_queries() {
        let query = |id: &str, service: &str| {
            let mut query = PreparedQuery { id: id.into(), ..PreparedQuery::default() };
            query.service.service = service.into();
            query
        };
        let Some(Step::Create(published)) = plan(&[query("a", "web")], &[]).pop() else {
            panic!("nothing was created")
        };
        assert_eq!((published.name(), published.spec.service.as_str()), ("a", "web"));
        assert_eq!(plan(&[query("a", "web")], std::slice::from_ref(&published)), vec![]);
        let updated = Published { spec: query("a", "db").spec(), ..published.clone() };
        assert_eq!(plan(&[query("a", "db")], std::slice::from_ref(&published)), vec![Step::Update(updated)]);
        assert_eq!(plan(&[], &[published]), vec![Step::Delete("a".into())]);
    }
}
