//! Which pod has which address: one file per lease.
//!
//! The name of the file says everything (`address@container@interface`), its content is the path of
//! the network namespace. A lease is taken by creating its file under a lock, so a crash at any
//! moment leaves either a lease or none; a lease whose namespace is gone is a leak and is taken
//! back when addresses run out and when the node starts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::Cidr;

/// The leases of a node.
#[derive(Debug)]
pub(crate) struct Leases {
    directory: PathBuf,
    _lock: Flock<File>,
}

/// One address in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) address: Ipv4Addr,
    pub(crate) container: String,
    pub(crate) interface: String,
}

impl Lease {
    fn file_name(&self) -> String {
        format!("{}@{}@{}", self.address, self.container, self.interface)
    }

    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.splitn(3, '@');
        Some(Self {
            address: parts.next()?.parse().ok()?,
            container: parts.next()?.to_owned(),
            interface: parts.next()?.to_owned(),
        })
    }
}

impl Leases {
    /// Opens the store and waits until no other process holds it.
    pub(crate) fn lock(state_dir: &Path) -> io::Result<Self> {
        let directory = state_dir.join("leases");
        fs::create_dir_all(&directory)?;
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(state_dir.join("leases.lock"))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| io::Error::from(errno))?;
        Ok(Self { directory, _lock: lock })
    }

    /// The lease of an interface, if it has one.
    pub(crate) fn find(&self, container: &str, interface: &str) -> io::Result<Option<Lease>> {
        Ok(self.all()?.into_iter().find(|lease| lease.container == container && lease.interface == interface))
    }

    /// Takes an address of `pool`, the one longest unused of those after the last one given.
    pub(crate) fn take(
        &self,
        pool: Cidr,
        container: &str,
        interface: &str,
        namespace: &str,
    ) -> io::Result<Option<Lease>> {
        if let Some(lease) = self.find(container, interface)? {
            return Ok(Some(lease));
        }
        let address = match self.free(pool)? {
            Some(address) => Some(address),
            None => {
                self.reclaim()?;
                self.free(pool)?
            }
        };
        let Some(address) = address else { return Ok(None) };
        let lease = Lease { address, container: container.into(), interface: interface.into() };
        let mut file = OpenOptions::new().create_new(true).write(true).open(self.directory.join(lease.file_name()))?;
        file.write_all(namespace.as_bytes())?;
        fs::write(self.last_path(), address.to_string())?;
        Ok(Some(lease))
    }

    /// Gives an address back; one that is not leased is no error.
    pub(crate) fn release(&self, lease: &Lease) -> io::Result<()> {
        match fs::remove_file(self.directory.join(lease.file_name())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Takes back the leases whose network namespace no longer exists, and returns them.
    pub(crate) fn reclaim(&self) -> io::Result<Vec<Lease>> {
        let mut reclaimed = Vec::new();
        for lease in self.all()? {
            let namespace = fs::read_to_string(self.directory.join(lease.file_name()))?;
            if !Path::new(&namespace).exists() {
                self.release(&lease)?;
                reclaimed.push(lease);
            }
        }
        Ok(reclaimed)
    }

    fn all(&self) -> io::Result<Vec<Lease>> {
        let mut leases = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            leases.extend(entry?.file_name().to_str().and_then(Lease::parse));
        }
        Ok(leases)
    }

    fn free(&self, pool: Cidr) -> io::Result<Option<Ipv4Addr>> {
        let used: std::collections::HashSet<Ipv4Addr> = self.all()?.into_iter().map(|lease| lease.address).collect();
        // An unreadable hint costs nothing but the order.
        let last = fs::read_to_string(self.last_path()).ok().and_then(|text| text.parse::<Ipv4Addr>().ok());
        let after = pool.hosts().filter(move |address| last.is_some_and(|last| *address > last));
        Ok(after.chain(pool.hosts()).find(|address| !used.contains(address)))
    }

    fn last_path(&self) -> PathBuf {
        self.directory.join("last")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_kept_returned_and_reclaimed() {
        let directory = tempfile::tempdir().expect("a temporary folder");
        let pool: Cidr = "10.42.0.0/29".parse().expect("a network");
        let leases = Leases::lock(directory.path()).expect("nobody else holds it");
        let alive = directory.path().to_str().expect("an ASCII path");
        let take = |container: &str, namespace: &str| {
            let lease = leases.take(pool, container, "eth0", namespace).expect("the folder is writable");
            lease.map(|lease| lease.address.to_string())
        };
        let given: Vec<_> = ["a", "b", "c", "d"].iter().map(|name| take(name, alive).expect("free")).collect();
        assert_eq!(given, ["10.42.0.2", "10.42.0.3", "10.42.0.4", "10.42.0.5"]);
        assert_eq!(take("a", alive).as_deref(), Some("10.42.0.2"), "asking again gives the same");
        let lease = leases.find("b", "eth0").expect("readable").expect("b has one");
        leases.release(&lease).expect("released");
        leases.release(&lease).expect("twice is fine");
        assert_eq!(take("e", "/gone").as_deref(), Some("10.42.0.6"), "a returned address rests");
        assert_eq!(take("f", alive).as_deref(), Some("10.42.0.3"));
        assert_eq!(take("g", alive).as_deref(), Some("10.42.0.6"), "e's namespace is gone");
        assert_eq!(take("h", alive), None);
    }
}
