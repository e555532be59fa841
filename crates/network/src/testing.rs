//! A machine made of network namespaces, for tests that send packets.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use crate::apply::Rules;
use crate::{Config, cni, setup_node};

pub(crate) mod objects;

const TIMEOUT: Duration = Duration::from_secs(2);

/// A network namespace that is deleted with the value.
pub(crate) struct Namespace {
    pub(crate) name: String,
}

impl Namespace {
    pub(crate) fn new() -> Self {
        let suffix = std::collections::hash_map::RandomState::new();
        let suffix = std::hash::BuildHasher::hash_one(&suffix, 0);
        let name = format!("plt-{suffix:016x}");
        ip(&["netns", "add", &name]);
        Self { name }
    }

    pub(crate) fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    /// Runs `work` inside.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(self.path()).expect("the namespace exists");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                nix::sched::setns(namespace.as_fd(), nix::sched::CloneFlags::CLONE_NEWNET).expect("tests run as root");
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Connects and returns what the server says.
    pub(crate) fn tcp(&self, to: &str) -> Result<String, std::io::ErrorKind> {
        self.run(|| {
            let to: SocketAddr = to.parse().expect("an address and port");
            let mut stream = TcpStream::connect_timeout(&to, TIMEOUT).map_err(|error| error.kind())?;
            stream.set_read_timeout(Some(TIMEOUT)).expect("a positive time");
            let mut text = String::new();
            stream.read_to_string(&mut text).map_err(|error| error.kind())?;
            Ok(text)
        })
    }

    /// Sends a datagram from `socket` and returns the answer to it.
    pub(crate) fn udp(socket: &UdpSocket, to: &str) -> Result<String, io::ErrorKind> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let answered = || -> io::Result<String> {
            socket.set_read_timeout(Some(TIMEOUT))?;
            socket.send_to(&number, to)?;
            let mut buffer = [0; 256];
            loop {
                let length = socket.recv(&mut buffer)?;
                // Others are late answers to earlier questions.
                if let Some(answer) = buffer[..length].strip_prefix(&number) {
                    return Ok(String::from_utf8_lossy(answer).into_owned());
                }
            }
        };
        answered().map_err(|error| error.kind())
    }

    /// As [`Namespace::udp`], and again if the datagram or its answer was lost, as on a machine that is busy with
    /// other things. Not for tests of what becomes of a datagram.
    pub(crate) fn udp_again_if_lost(socket: &UdpSocket, to: &str) -> Result<String, io::ErrorKind> {
        const LOST: Result<String, io::ErrorKind> = Err(io::ErrorKind::WouldBlock);
        (0..3).map(|_| Self::udp(socket, to)).find(|outcome| *outcome != LOST).unwrap_or(LOST)
    }

    pub(crate) fn udp_socket(&self) -> UdpSocket {
        self.run(|| UdpSocket::bind("0.0.0.0:0").expect("a free port"))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nothing can be done about a failure here.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

pub(crate) fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A node in a namespace, with its network set up.
pub(crate) struct Machine {
    pub(crate) host: Namespace,
    pub(crate) config: Config,
    _state: tempfile::TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let state = tempfile::tempdir().expect("a temporary folder");
        let mut config = Config::new("n1", state.path());
        config.table = "plt".into();
        let host = Namespace::new();
        host.run(|| {
            ip(&["link", "set", "lo", "up"]);
            setup_node(&config).expect("the node's network can be made");
        });
        Self { host, config, _state: state }
    }

    pub(crate) fn cni(&self, command: &str, name: &str, pod: &Namespace) -> Result<Option<Value>, String> {
        let mut list = cni::config_list(&self.config);
        let mut network = list["plugins"][0].take();
        network["cniVersion"] = json!("1.0.0");
        self.host.run(|| cni::invoke_for_test(command, name, &pod.name, &pod.path(), &network))
    }

    /// A pod that is attached the way the container runtime does it.
    pub(crate) fn pod(&self) -> Pod {
        let namespace = Namespace::new();
        self.cni("ADD", "loopback", &namespace).expect("loopback comes up");
        let result = self.cni("ADD", cni::PLUGIN_NAME, &namespace).expect("the pod is attached");
        let result = result.expect("ADD has a result");
        let text = result["ips"][0]["address"].as_str().expect("the result has an address");
        let address = text.trim_end_matches("/32").parse().expect("an address");
        Pod { namespace, address, servers: Vec::new() }
    }

    /// The rules of this machine, for its planner.
    pub(crate) fn rules(&self) -> Rules {
        self.host.run(|| Rules::open(self.config.clone())).expect("tests run as root")
    }
}

/// An attached pod and the servers in it.
pub(crate) struct Pod {
    pub(crate) namespace: Namespace,
    pub(crate) address: Ipv4Addr,
    servers: Vec<Server>,
}

impl Pod {
    /// Serves, on TCP and UDP, the pod's address and the client's: `10.42.0.2<10.42.0.3`; on UDP behind what it was
    /// sent.
    pub(crate) fn serve(&mut self, port: u16) {
        self.servers.push(Server::start(&self.namespace, self.address, port));
    }
}

/// Two threads that answer until dropped.
pub(crate) struct Server {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(namespace: &Namespace, address: Ipv4Addr, port: u16) -> Self {
        let (listener, socket) = namespace.run(|| {
            let at = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
            (TcpListener::bind(at).expect("the port is free"), UdpSocket::bind(at).expect("the port is free"))
        });
        let stop = Arc::new(AtomicBool::new(false));
        let own = address.to_string();
        let answer = move |peer: IpAddr| format!("{own}<{peer}");
        let tcp = std::thread::spawn({
            let (stop, answer) = (stop.clone(), answer.clone());
            move || {
                poll(&listener, &stop, || {
                    if let Ok((mut stream, peer)) = listener.accept() {
                        let _ = stream.write_all(answer(peer.ip()).as_bytes());
                    }
                });
            }
        });
        let udp = std::thread::spawn({
            let stop = stop.clone();
            move || {
                poll(&socket, &stop, || {
                    let mut question = [0; 64];
                    if let Ok((length, peer)) = socket.recv_from(&mut question) {
                        let answer = [&question[..length], answer(peer.ip()).as_bytes()].concat();
                        let _ = socket.send_to(&answer, peer);
                    }
                });
            }
        });
        Self { stop, threads: vec![tcp, udp] }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("servers do not panic");
        }
    }
}

fn poll(source: &impl std::os::fd::AsFd, stop: &AtomicBool, mut ready: impl FnMut()) {
    use nix::poll::{PollFd, PollFlags, PollTimeout};
    while !stop.load(Ordering::Relaxed) {
        let mut wanted = [PollFd::new(source.as_fd(), PollFlags::POLLIN)];
        if nix::poll::poll(&mut wanted, PollTimeout::from(20_u8)).expect("the descriptor is open") > 0 {
            ready();
        }
    }
}
