//! The behaviour suite against real containers: a private containerd of its own, taken down afterwards.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use portolan_base::Shutdown;
use portolan_runtime::containerd::{self, Health, Supervisor, purge};
use portolan_runtime::cri::CriRuntime;
use portolan_runtime::image::build;
use portolan_runtime::suite::{self, Fixture};
use portolan_runtime::{
    ContainerId, ContainerState, Error, Images, NamespaceMode, Resources, Runtime, SandboxId, Streams,
};
use sha2::Digest;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

/// Runs a test on an instance of its own and takes everything down, however the test ends.
async fn with_instance(test: impl AsyncFnOnce(&containerd::Options)) {
    let data = tempfile::tempdir().expect("a scratch folder");
    let run = tempfile::Builder::new().prefix("p").tempdir_in("/tmp").expect("a scratch folder");
    let mut options = containerd::Options::new(
        data.path().to_owned(),
        run.path().to_owned(),
        data.path().join("cni/conf"),
        data.path().join("cni/bin"),
    );
    // A short name that no other test has.
    options.cgroup_root = Path::new("/").join(run.path().file_name().expect("a folder has a name"));
    let outcome = AssertUnwindSafe(test(&options)).catch_unwind().await;
    let failures = purge(&options).await;
    if let Err(panic) = outcome {
        eprintln!("containerd said: {}", fs::read_to_string(data.path().join("containerd.log")).unwrap_or_default());
        std::panic::resume_unwind(panic);
    }
    assert_eq!(failures, Vec::<String>::new(), "left over");
    assert_nothing_is_left(&options);
}

/// No process, mount or control group mentions the instance.
fn assert_nothing_is_left(options: &containerd::Options) {
    let run = options.run_dir.to_string_lossy().into_owned();
    let data = options.data_dir.to_string_lossy().into_owned();
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("Linux");
    let left = mounts.lines().filter(|line| line.contains(&run) || line.contains(&data));
    assert_eq!(left.collect::<Vec<_>>(), Vec::<&str>::new());
    for process in fs::read_dir("/proc").expect("Linux").flatten() {
        let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        if arguments.is_empty() {
            // A kernel thread, or a dead process that its parent has not noted yet.
            continue;
        }
        assert!(!arguments.contains(&run), "{arguments}");
        let groups = fs::read_to_string(process.path().join("cgroup")).unwrap_or_default();
        assert!(!groups.contains(options.cgroup_root.to_str().expect("our own name")), "{arguments}: {groups}");
    }
    for hierarchy in fs::read_dir("/sys/fs/cgroup").expect("Linux").flatten() {
        let group = hierarchy.path().join(options.cgroup_root.strip_prefix("/").expect("absolute"));
        assert!(!group.exists(), "{}", group.display());
    }
}

async fn runtime(supervisor: &Supervisor, options: &containerd::Options) -> Arc<CriRuntime> {
    let runtime = supervisor.runtime().await.expect("containerd answers");
    let archive = options.data_dir.join("busybox.tar");
    suite::write_busybox_archive(&archive, "busybox:suite").expect("busybox-static is installed");
    assert_eq!(runtime.load(&archive).await.expect("the archive is valid"), ["docker.io/library/busybox:suite"]);
    Arc::new(runtime)
}

fn fixture(runtime: Arc<dyn Runtime>, options: &containerd::Options, network: NamespaceMode) -> Fixture {
    Fixture {
        runtime,
        image: "busybox:suite".into(),
        log_directory: options.data_dir.join("logs"),
        cgroup_parent: options.cgroup_root.to_string_lossy().into_owned(),
        network,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containerd_behaves_like_a_runtime() {
    with_instance(async |options| {
        let supervisor = Supervisor::start(options.clone()).await.expect("containerd starts");
        let runtime = runtime(&supervisor, options).await;
        let failures = suite::run(&fixture(runtime, options, NamespaceMode::Node)).await;
        assert_eq!(failures, Vec::<String>::new());
    })
    .await;
}

/// What a file of a container's control group says, in either version of the hierarchy.
fn group_file(options: &containerd::Options, id: &ContainerId, names: [&str; 2]) -> String {
    fn below(folder: &Path, id: &str) -> Option<std::path::PathBuf> {
        let folders = fs::read_dir(folder).ok()?.flatten().filter(|entry| entry.path().is_dir());
        folders
            .map(|entry| entry.path())
            .find_map(|path| if path.ends_with(id) { Some(path) } else { below(&path, id) })
    }
    let root = options.cgroup_root.strip_prefix("/").expect("absolute");
    let hierarchies = fs::read_dir("/sys/fs/cgroup").expect("Linux").flatten().map(|entry| entry.path());
    let roots = hierarchies.map(|path| path.join(root)).chain([Path::new("/sys/fs/cgroup").join(root)]);
    let groups: Vec<_> = roots.filter_map(|path| below(&path, &id.0)).collect();
    let files = groups.iter().flat_map(|group| names.map(|name| group.join(name)));
    let found = files.filter_map(|file| fs::read_to_string(file).ok()).next();
    found.expect("the container has a group").trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_container_gets_other_limits() {
    with_instance(async |options| {
        let supervisor = Supervisor::start(options.clone()).await.expect("containerd starts");
        let runtime = runtime(&supervisor, options).await;
        let fixture = fixture(runtime.clone(), options, NamespaceMode::Node);
        let (_, id) = fixture.start("resized", &["sleep", "3600"]).await.expect("starts");
        let memory = || group_file(options, &id, ["memory.limit_in_bytes", "memory.max"]);
        let quota = || group_file(options, &id, ["cpu.cfs_quota_us", "cpu.max"]);
        assert_eq!(memory(), (64 << 20).to_string());
        for (megabytes, micros) in [(128_u64, 50_000), (96, 20_000)] {
            let limits = Resources {
                cpu_shares: 512,
                cpu_quota_us: micros,
                cpu_period_us: 100_000,
                memory_limit: megabytes << 20,
                oom_score_adj: 0,
            };
            runtime.update_resources(&id, &limits).await.expect("it takes other limits");
            assert_eq!(memory(), (megabytes << 20).to_string());
            assert_eq!(quota().split(' ').next(), Some(micros.to_string().as_str()));
        }
        let listed = runtime.containers().await.expect("containerd answers");
        assert!(matches!(listed[0].state, ContainerState::Running { .. }), "{listed:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_can_see_the_processes_of_another_one() {
    with_instance(async |options| {
        let supervisor = Supervisor::start(options.clone()).await.expect("containerd starts");
        let runtime = runtime(&supervisor, options).await;
        let fixture = fixture(runtime.clone(), options, NamespaceMode::Node);
        let (_, watcher) =
            fixture.start_watched("watched", &["sleep", "3601"], &["sleep", "3602"]).await.expect("both start");
        let words: Vec<String> = ["/bin/busybox", "ps", "-o", "pid,args"].map(str::to_owned).to_vec();
        let seen = runtime.exec_sync(&watcher, &words, Duration::from_secs(10)).await.expect("it runs");
        let seen = String::from_utf8_lossy(&seen.stdout).into_owned();
        let first = seen.lines().find(|line| line.trim_start().starts_with("1 ")).unwrap_or_default();
        assert!(first.contains("sleep 3601") && seen.contains("sleep 3602"), "{seen}");
    })
    .await;
}

/// A network plugin that gives every pod the same address on its loopback device.
const PLUGIN: &str = r#"#!/bin/sh
[ "$CNI_COMMAND" = ADD ] || exit 0
/usr/bin/nsenter --net="$CNI_NETNS" /bin/busybox ip link set lo up
echo '{"cniVersion":"0.3.1","interfaces":[{"name":"eth0","sandbox":"'$CNI_NETNS'"}],
  "ips":[{"version":"4","interface":0,"address":"10.99.0.2/24"}]}'
"#;

fn install_network(options: &containerd::Options) {
    for folder in [&options.cni_config_dir, &options.cni_binary_dir] {
        fs::create_dir_all(folder).expect("a scratch folder");
    }
    for name in ["loopback", "suite"] {
        let path = options.cni_binary_dir.join(name);
        fs::write(&path, PLUGIN).expect("a scratch folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our own file");
    }
    let list = r#"{"cniVersion":"0.3.1","name":"suite","plugins":[{"type":"suite"}]}"#;
    fs::write(options.cni_config_dir.join("10-suite.conflist"), list).expect("a scratch folder");
}

/// Starts a pod whose container listens on `port` and answers every connection with `words`.
async fn start_server(fixture: &Fixture, port: u16, words: &str) -> (SandboxId, ContainerId) {
    let answer = format!("echo {words}");
    let port = port.to_string();
    fixture
        .start("server", &["nc", "-ll", "-p", &port, "-e", "/bin/busybox", "sh", "-c", &answer])
        .await
        .expect("starts")
}

/// Connects as soon as the server listens: only its first start can be refused.
async fn ask(runtime: &dyn Runtime, sandbox: &SandboxId, port: u16) -> String {
    let mut backoff = portolan_base::Backoff::new(Duration::from_millis(5), Duration::from_millis(200));
    let (mut reader, _writer) = loop {
        match runtime.connect(sandbox, port).await {
            Ok(streams) => break streams,
            Err(error) => {
                let delay = backoff.advance();
                assert!(delay < Duration::from_millis(200), "{error}");
                tokio::time::sleep(delay).await;
            }
        }
    };
    let mut answer = String::new();
    reader.read_to_string(&mut answer).await.expect("the server answers");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_inside_a_pod_of_its_own_network_are_reached() {
    with_instance(async |options| {
        install_network(options);
        let supervisor = Supervisor::start(options.clone()).await.expect("containerd starts");
        let runtime = runtime(&supervisor, options).await;
        let fixture = fixture(runtime.clone(), options, NamespaceMode::Pod);
        let (sandbox, _) = start_server(&fixture, 80, "from inside").await;
        assert_eq!(ask(runtime.as_ref(), &sandbox, 80).await, "from inside\n");
        let listed = runtime.sandboxes().await.expect("containerd answers");
        assert_eq!(listed[0].addresses, ["10.99.0.2".parse::<IpAddr>().expect("an address")]);
        assert!(listed[0].network_namespace.as_ref().is_some_and(|path| path.starts_with(&options.run_dir)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_survive_a_restart_of_the_agent_and_the_death_of_containerd() {
    with_instance(async |options| {
        let first = Supervisor::start(options.clone()).await.expect("containerd starts");
        let before = runtime(&first, options).await;
        let (_, container) = fixture(before.clone(), options, NamespaceMode::Node)
            .start("survivor", &["sleep", "3600"])
            .await
            .expect("the pod starts");
        let known = before.containers().await.expect("containerd answers");
        let Health::Running { pid, .. } = *first.health().borrow() else { panic!("it does not run") };
        drop((before, first));

        let second = Supervisor::start(options.clone()).await.expect("containerd is adopted");
        assert_eq!(*second.health().borrow(), Health::Running { pid, restarts: 0 });
        let after = second.runtime().await.expect("containerd answers");
        assert_eq!(after.containers().await.expect("containerd answers"), known);

        let shutdown = Shutdown::default();
        let mut health = second.health();
        let killed_and_back = async {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)
                .expect("it runs");
            let back = health.wait_for(|health| matches!(health, Health::Running { restarts: 1, .. })).await;
            drop(back.expect("the supervisor lives"));
            shutdown.request();
        };
        tokio::join!(second.run(shutdown.clone()), killed_and_back);
        assert_eq!(after.containers().await.expect("it answers again"), known);
        let mut changes = after.changes();
        changes.mark_unchanged();
        after.stop_container(&container, Duration::from_secs(0)).await.expect("it is still there");
        changes.changed().await.expect("the runtime lives");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_taken_down_even_if_containerd_is_dead() {
    with_instance(async |options| {
        let supervisor = Supervisor::start(options.clone()).await.expect("containerd starts");
        let runtime = runtime(&supervisor, options).await;
        let fixture = fixture(runtime, options, NamespaceMode::Node);
        fixture.start("orphan", &["sleep", "3600"]).await.expect("the pod starts");
        supervisor.stop().await.expect("containerd ends");
        // A configuration that cannot be used: only the clean-up of last resort is left.
        fs::write(options.run_dir.join("containerd.toml"), "not toml").expect("our own file");
        fs::remove_dir_all(options.data_dir.join("containerd/io.containerd.metadata.v1.bolt")).expect("our own file");
    })
    .await;
}

/// Prints figures; run it alone with `--nocapture` to read them.
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_starts_in_reasonable_time() {
    with_instance(async |options| {
        let begin = Instant::now();
        let supervisor = Supervisor::start(options.clone()).await.expect("containerd starts");
        println!("containerd serves after {:?}", begin.elapsed());
        let runtime = runtime(&supervisor, options).await;
        println!("images in place after {:?}", begin.elapsed());
        let fixture = fixture(runtime, options, NamespaceMode::Node);
        let mut times = Vec::new();
        for _ in 0..5 {
            let begin = Instant::now();
            fixture.start("timed", &["sleep", "3600"]).await.expect("the pod starts");
            times.push(begin.elapsed());
        }
        let (_, doomed) = fixture.start("doomed", &["sleep", "3600"]).await.expect("the pod starts");
        let killed = Instant::now();
        fixture
            .runtime
            .exec_sync(&doomed, &["/bin/busybox".into(), "true".into()], Duration::ZERO)
            .await
            .expect("it runs");
        println!("exec: {:?}", killed.elapsed());
        times.sort();
        println!("pod start: best {:?}, median {:?}, worst {:?}", times[0], times[2], times[4]);
        assert!(times[2] < Duration::from_secs(5), "{times:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_built_on_a_loaded_one_runs() {
    with_instance(async |options| {
        let supervisor = Supervisor::start(options.clone()).await.expect("containerd starts");
        let runtime = runtime(&supervisor, options).await;
        let context = options.data_dir.join("context");
        fs::create_dir_all(&context).expect("a scratch folder");
        fs::write(context.join("greeting.txt"), "built here\n").expect("a scratch folder");
        let dockerfile = "FROM busybox:suite\nWORKDIR /srv\nCOPY *.txt .\nCMD [\"cat\", \"greeting.txt\"]\n";
        fs::write(context.join("Dockerfile"), dockerfile).expect("a scratch folder");
        let request = build::Request {
            dockerfile: context.join("Dockerfile"),
            context,
            name: "greeter:1".into(),
            arguments: Default::default(),
            archive: options.data_dir.join("greeter.tar"),
        };
        let name = build::build(&request, runtime.as_ref()).await.expect("the Dockerfile is supported");
        assert_eq!(runtime.load(&request.archive).await.expect("the archive is valid"), [name]);
        let fixture = Fixture { image: "greeter:1".into(), ..fixture(runtime.clone(), options, NamespaceMode::Node) };
        let (_, container) = fixture.start("greeter", &["cat", "greeting.txt"]).await.expect("the pod starts");
        let ended = |state: &ContainerState| matches!(state, ContainerState::Exited { .. });
        let status = fixture.wait_for(&container, ended).await.expect("it ends");
        let log = fs::read_to_string(status.log_path).expect("it wrote a log");
        assert!(log.ends_with(" stdout F built here\n"), "{log}");
    })
    .await;
}

/// A registry on a loopback port, ended with this value.
struct Registry {
    child: tokio::process::Child,
    address: String,
    /// Kept open: a registry that cannot write its log dies. A test's log fits into the pipe.
    _log: tokio::io::Lines<BufReader<tokio::process::ChildStderr>>,
}

impl Registry {
    async fn start(folder: &Path) -> Self {
        let config = folder.join("registry.yml");
        let storage = folder.join("registry");
        let text = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n",
            storage.display()
        );
        fs::write(&config, text).expect("a scratch folder");
        let mut child = tokio::process::Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stderr(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("docker-registry is installed");
        let mut lines = BufReader::new(child.stderr.take().expect("it was asked for")).lines();
        let address = loop {
            let line = lines.next_line().await.expect("a pipe").expect("it says where it listens");
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split([',', '"', ' ']).next().expect("an address").to_owned();
            }
        };
        Self { child, address: address.replace("127.0.0.1", "localhost"), _log: lines }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_pulled_from_a_plain_registry_and_local_ones_are_not_asked_for() {
    with_instance(async |options| {
        let mut registry = Registry::start(&options.data_dir).await;
        let options = containerd::Options { plain_http_registries: vec![registry.address.clone()], ..options.clone() };
        let supervisor = Supervisor::start(options.clone()).await.expect("containerd starts");
        let runtime = supervisor.runtime().await.expect("containerd answers");
        let name = format!("{}/team/app:1", registry.address);
        let missing = runtime.pull(&name, None).await.expect_err("it is not there yet");
        assert!(matches!(&missing, Error::Pull { reason, .. } if reason.contains("not found")), "{missing}");

        let archive = options.data_dir.join("app.tar");
        suite::write_busybox_archive(&archive, &name).expect("busybox-static is installed");
        runtime.load(&archive).await.expect("the archive is valid");
        let pushed = tokio::process::Command::new("ctr")
            .args(["--namespace", "k8s.io", "--address"])
            .arg(options.socket())
            .args(["images", "push", "--plain-http", &name])
            .output()
            .await
            .expect("ctr is installed");
        assert!(pushed.status.success(), "{pushed:?}");
        runtime.remove_image(&name).await.expect("it is there");
        assert_eq!(runtime.image(&name).await.expect("containerd answers"), None);

        let id = runtime.pull(&name, None).await.expect("it was pushed");
        let pulled = runtime.image(&id).await.expect("containerd answers").expect("it was pulled");
        assert_eq!((pulled.tags, pulled.local), (vec![name.clone()], false));

        runtime.load(&archive).await.expect("the archive is valid");
        registry.child.kill().await.expect("it runs");
        assert_eq!(runtime.pull(&name, None).await.expect("a local image needs no registry"), id);
    })
    .await;
}

/// Writes what `docker save` writes, for an image of one layer with one file.
fn write_docker_archive(path: &Path, name: &str) {
    fn add<W: std::io::Write>(builder: &mut tar::Builder<W>, path: &str, bytes: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, bytes).expect("a scratch file");
    }
    let mut layer = tar::Builder::new(Vec::new());
    add(&mut layer, "hello", b"hello");
    let layer = layer.into_inner().expect("in memory");
    let id: String = sha2::Sha256::digest(&layer).iter().map(|byte| format!("{byte:02x}")).collect();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["sha256:{id}"]}}}}"#
    );
    let manifest = format!(r#"[{{"Config":"config.json","RepoTags":["{name}"],"Layers":["layer.tar"]}}]"#);
    let mut archive = tar::Builder::new(fs::File::create(path).expect("a scratch file"));
    add(&mut archive, "config.json", config.as_bytes());
    add(&mut archive, "layer.tar", &layer);
    add(&mut archive, "manifest.json", manifest.as_bytes());
    archive.finish().expect("a scratch file");
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_of_docker_are_taken_in() {
    with_instance(async |options| {
        let supervisor = Supervisor::start(options.clone()).await.expect("containerd starts");
        let runtime = supervisor.runtime().await.expect("containerd answers");
        let path = options.data_dir.join("docker.tar");
        write_docker_archive(&path, "saved:2");
        assert_eq!(runtime.load(&path).await.expect("the archive is valid"), ["docker.io/library/saved:2"]);
        let image = runtime.image("saved:2").await.expect("containerd answers").expect("it was loaded");
        assert!(image.local);
        fs::write(&path, "not an archive").expect("a scratch file");
        let error = runtime.load(&path).await.expect_err("it is not an archive");
        assert!(error.to_string().starts_with("load image: "), "{error}");
    })
    .await;
}
