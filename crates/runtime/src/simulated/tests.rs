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

fn pod(name: &str) -> SandboxConfig {
    let folder = tempfile::tempdir().expect("a scratch folder");
    fixture(&SimulatedRuntime::default(), &folder).sandbox_config(name)
}

#[tokio::test]
async fn failures_happen_as_scripted_until_healed() {
    let runtime = SimulatedRuntime::default();
    runtime.fail(Operation::RunSandbox, "web", "no network");
    runtime.fail(Operation::Pull, "app:1", "not found");
    let error = runtime.run_sandbox(&pod("web")).await.expect_err("it was told to fail");
    assert_eq!(error.to_string(), "run sandbox: no network");
    let error = runtime.pull("app:1", None).await.expect_err("it was told to fail");
    assert_eq!(error.to_string(), "pull image app:1: not found");
    runtime.heal();
    runtime.run_sandbox(&pod("web")).await.expect("healed");
    runtime.pull("app:1", None).await.expect("healed");
}

#[tokio::test]
async fn addresses_are_given_back_and_run_out() {
    let runtime = SimulatedRuntime::new(Options { addresses: 1, ..Options::default() });
    let first = runtime.run_sandbox(&pod("first")).await.expect("one address is free");
    let error = runtime.run_sandbox(&pod("second")).await.expect_err("none is left");
    assert_eq!(error.to_string(), "run sandbox: no address is left of 1");
    runtime.stop_sandbox(&first).await.expect("always");
    runtime.run_sandbox(&pod("second")).await.expect("the address is free again");
}
