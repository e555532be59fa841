//! containerd's configuration file as text. Pure.

use std::fmt::Write;
use std::path::Path;

use super::host::Host;
use super::{Layout, Options};

/// Plugins that this node never uses: they cost start-up time, warnings or wake-ups.
const DISABLED: &[&str] = &[
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.internal.v1.restart",
    "io.containerd.internal.v1.tracing",
    "io.containerd.tracing.processor.v1.otlp",
];

/// Returns the configuration for one private instance.
///
/// The same inputs give the same text: a running containerd is adopted only if its file is unchanged.
pub(super) fn render(options: &Options, layout: &Layout, host: &Host) -> String {
    let quote = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
    let disabled: Vec<String> = DISABLED.iter().map(|plugin| format!("{plugin:?}")).collect();
    let sandbox_image = serde_json::Value::from(options.sandbox_image.as_str()).to_string();
    let mut text = format!(
        r#"# Written by Portolan at every start; changes are lost.
version = 2
root = {root}
state = {state}
disabled_plugins = [{disabled}]
oom_score = 0

[debug]
  level = "warn"

[grpc]
  address = {socket}

[ttrpc]
  address = {ttrpc}

[plugins."io.containerd.internal.v1.opt"]
  path = {opt}

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = {sandbox_image}
  restrict_oom_score_adj = {restrict}
  disable_apparmor = {no_apparmor}
  netns_mounts_under_state_dir = true
  max_container_log_line_size = 16384
  stats_collect_period = 60
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  tolerate_missing_hugetlb_controller = true
"#,
        root = quote(&layout.root),
        state = quote(&layout.state),
        disabled = disabled.join(", "),
        socket = quote(&layout.socket),
        ttrpc = quote(&layout.ttrpc_socket),
        opt = quote(&layout.root.join("opt")),
        restrict = !host.may_lower_oom_score,
        no_apparmor = !host.apparmor,
    );
    let _ = write!(
        text,
        r#"
[plugins."io.containerd.grpc.v1.cri".cni]
  conf_dir = {conf}
  bin_dir = {bin}

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = {registries}

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "{snapshotter}"
  default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  BinaryName = {runc}
  Root = {runc_root}
  SystemdCgroup = false
"#,
        conf = quote(&options.cni_config_dir),
        bin = quote(&options.cni_binary_dir),
        registries = quote(&layout.registries),
        snapshotter = host.snapshotter.name(),
        runc = quote(&host.runc),
        runc_root = quote(&layout.runc_root),
    );
    text
}

/// Returns the `hosts.toml` that makes containerd speak plain HTTP to a registry.
pub(super) fn plain_http_host(registry: &str) -> String {
    let url = serde_json::Value::from(format!("http://{registry}")).to_string();
    format!("server = {url}\n\n[host.{url}]\n  capabilities = [\"pull\", \"resolve\"]\n")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::host::Snapshotter;
    use super::*;

    #[test]
    fn the_configuration_follows_the_machine() {
        let options = Options::new("/data".into(), "/run/p".into(), "/cni/conf".into(), "/cni/bin".into());
        let host = Host {
            containerd: "/usr/bin/containerd".into(),
            ctr: "/usr/bin/ctr".into(),
            runc: "/usr/sbin/runc".into(),
            snapshotter: Snapshotter::Native { reason: "no".into() },
            may_lower_oom_score: false,
            apparmor: false,
        };
        let text = render(&options, &Layout::new(&options), &host);
        let chosen: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| {
                ["restrict", "disable_app", "snapsh", "BinaryName", "address", "sandbox", "conf_dir"]
                    .iter()
                    .any(|start| line.starts_with(start))
            })
            .collect();
        expect![[r#"
            address = "/run/p/containerd.sock"
            address = "/run/p/containerd.sock.ttrpc"
            sandbox_image = "portolan.local/pause:1"
            restrict_oom_score_adj = true
            disable_apparmor = true
            conf_dir = "/cni/conf"
            snapshotter = "native"
            BinaryName = "/usr/sbin/runc""#]]
        .assert_eq(&chosen.join("\n"));
    }

    #[test]
    fn plain_http_registries_get_a_hosts_file() {
        expect![[r#"
            server = "http://localhost:5000"

            [host."http://localhost:5000"]
              capabilities = ["pull", "resolve"]
        "#]]
        .assert_eq(&plain_http_host("localhost:5000"));
    }
}
