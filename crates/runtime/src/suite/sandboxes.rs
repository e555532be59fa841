use super::{Fixture, Outcome, ensure, equal, text};
use crate::port::*;

pub(super) async fn a_sandbox_is_listed_as_it_was_asked_for(fixture: &Fixture) -> Outcome {
    let config = fixture.sandbox_config("listed");
    let id = fixture.runtime.run_sandbox(&config).await.map_err(text)?;
    let all = fixture.runtime.sandboxes().await.map_err(text)?;
    let status = all.into_iter().find(|status| status.id == id).ok_or("it is not listed")?;
    equal("identity", status.pod, config.pod)?;
    equal("labels", status.labels, config.labels)?;
    equal("annotations", status.annotations, config.annotations)?;
    equal("readiness", status.ready, true)?;
    equal("having an address", !status.addresses.is_empty(), fixture.network != NamespaceMode::Node)
}

pub(super) async fn stopping_and_removing_a_sandbox_can_be_repeated(fixture: &Fixture) -> Outcome {
    let id = fixture.runtime.run_sandbox(&fixture.sandbox_config("repeated")).await.map_err(text)?;
    for _ in 0..2 {
        fixture.runtime.stop_sandbox(&id).await.map_err(text)?;
    }
    let listed = fixture.runtime.sandboxes().await.map_err(text)?;
    equal("readiness once stopped", listed.iter().map(|status| status.ready).collect(), vec![false])?;
    for _ in 0..2 {
        fixture.runtime.remove_sandbox(&id).await.map_err(text)?;
    }
    equal("sandboxes", fixture.runtime.sandboxes().await.map_err(text)?, Vec::new())
}

pub(super) async fn two_sandboxes_of_the_same_identity_are_refused(fixture: &Fixture) -> Outcome {
    let mut config = fixture.sandbox_config("twice");
    fixture.runtime.run_sandbox(&config).await.map_err(text)?;
    ensure(fixture.runtime.run_sandbox(&config).await.is_err(), || "the second was accepted".into())?;
    config.pod.attempt += 1;
    fixture.runtime.run_sandbox(&config).await.map(|_| ()).map_err(text)
}

pub(super) async fn stopping_a_sandbox_ends_its_containers(fixture: &Fixture) -> Outcome {
    let (sandbox, container) = fixture.start("ended", &["sleep", "3600"]).await?;
    fixture.runtime.stop_sandbox(&sandbox).await.map_err(text)?;
    let status = fixture.container(&container).await?;
    ensure(matches!(status.state, ContainerState::Exited { .. }), || format!("it is {:?}", status.state))
}

pub(super) async fn images_are_known_by_short_and_full_names(fixture: &Fixture) -> Outcome {
    let image = fixture.runtime.image(&fixture.image).await.map_err(text)?.ok_or("the image is not known")?;
    ensure(image.local, || "an image from an archive must count as local".into())?;
    let full = image.tags.first().ok_or("the image has no name")?;
    let again = fixture.runtime.image(full).await.map_err(text)?.ok_or("not known by its full name")?;
    equal("id by full name", again.id, image.id.clone())?;
    equal("id by pull of a local image", fixture.runtime.pull(&fixture.image, None).await.map_err(text)?, image.id)?;
    equal("an image that is not here", fixture.runtime.image("no-such-image:1").await.map_err(text)?, None)?;
    let refused = fixture.runtime.image("Not A Name").await;
    ensure(matches!(refused, Err(Error::InvalidImageName { .. })), || format!("a bad name gives {refused:?}"))
}
