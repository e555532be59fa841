use super::*;

fn fixture(runtime: &SimulatedRuntime, folder: &tempfile::TempDir) -> crate::suite::Fixture {
    crate::suite::Fixture {
        runtime: Arc::new(runtime.clone()),
        image: "busybox:suite".into(),
        log_directory: folder.path().to_owned(),
        cgroup_parent: "/suite".into(),
        network: NamespaceMode::Pod,
    }
}

#[tokio::test(start_paused = true)]
async fn the_simulation_behaves_like_a_runtime() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let runtime = SimulatedRuntime::default();
    runtime.add_local_image("busybox:suite").expect("a valid name");
    let failures = crate::suite::run(&fixture(&runtime, &folder)).await;
    assert_eq!(failures, Vec::<String>::new());
}
