//! A disk in memory that loses what a real one may lose.
//!
//! Bytes count as durable only after a flush, names only after a flush of their directory. A crash
//! keeps a random part of the rest, in sectors, as a real crash would.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::files::{Access, Claim, File, Files};

const SECTOR: usize = 512;

/// What goes wrong, and when. Operations are writes, flushes, creations, renames and removals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The machine stops at this operation, in the middle of it if it is a write.
    Crash {
        /// How many operations are done before.
        after: u64,
    },
    /// One flush fails, and part of what it should have flushed is lost for good.
    Flush {
        /// How many operations are done before.
        after: u64,
    },
    /// The disk has room for this many more bytes.
    Full {
        /// How many bytes files may grow.
        after_bytes: u64,
    },
}

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimulatedFiles(Arc<Mutex<Disk>>);

#[derive(Debug)]
struct Disk {
    random: StdRng,
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    unflushed: Vec<NameChange>,
    fault: Option<Fault>,
    operations: u64,
    crashed: bool,
    /// Handles opened before a crash are dead after it.
    epoch: u64,
}

#[derive(Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Debug)]
enum NameChange {
    Set(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Debug)]
struct Handle {
    disk: SimulatedFiles,
    inode: usize,
    epoch: u64,
}

fn crashed() -> io::Error {
    io::Error::other("simulated crash")
}

impl SimulatedFiles {
    /// An empty disk whose accidents follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            random: StdRng::seed_from_u64(seed),
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unflushed: Vec::new(),
            fault: None,
            operations: 0,
            crashed: false,
            epoch: 0,
        })))
    }

    /// Sets what goes wrong next; counts start now.
    pub fn set_fault(&self, fault: Option<Fault>) {
        let mut disk = self.0.lock();
        disk.fault = fault;
        disk.operations = 0;
    }

    /// Whether the fault was a crash and has happened.
    pub fn has_crashed(&self) -> bool {
        self.0.lock().crashed
    }

    /// Cuts the power, if that has not happened, and starts again with what the disk then holds.
    pub fn reboot(&self) {
        let mut disk = self.0.lock();
        let disk = &mut *disk;
        let surviving = disk.random.random_range(0..=disk.unflushed.len());
        for change in disk.unflushed.drain(..).take(surviving) {
            // A name that never became durable has nothing to be renamed or removed.
            _ = apply(&mut disk.durable_names, &change);
        }
        disk.names = disk.durable_names.clone();
        for inode in &mut disk.inodes {
            inode.settle(&mut disk.random);
            inode.bytes = inode.durable.clone();
        }
        (disk.crashed, disk.fault) = (false, None);
        disk.epoch += 1;
    }

    /// Overwrites bytes behind everybody's back, as a failing disk does.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn corrupt(&self, path: &Path, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.0.lock();
        let inode = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        let inode = &mut disk.inodes[inode];
        for content in [&mut inode.bytes, &mut inode.durable] {
            let Some(place) = content.get_mut(offset..offset + bytes.len()) else { continue };
            place.copy_from_slice(bytes);
        }
        drop(disk);
        Ok(())
    }

    /// The content of a file.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn content(&self, path: &Path) -> io::Result<Vec<u8>> {
        let disk = self.0.lock();
        let inode = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(disk.inodes[inode].bytes.clone())
    }
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, change: &NameChange) -> io::Result<()> {
    match change {
        NameChange::Set(path, inode) => _ = names.insert(path.clone(), *inode),
        NameChange::Remove(path) => _ = names.remove(path).ok_or(io::ErrorKind::NotFound)?,
        NameChange::Rename(from, to) => {
            let inode = names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            names.insert(to.clone(), inode);
        }
    }
    Ok(())
}

impl Inode {
    /// A random part of the unflushed sectors becomes durable, the rest never will.
    fn settle(&mut self, random: &mut StdRng) {
        // Per crash all, none or some, so that the extremes are not left to chance.
        let share = [0.0, 0.5, 1.0][random.random_range(0..3)];
        for sector in std::mem::take(&mut self.dirty) {
            if random.random_bool(share) {
                self.flush_sector(sector);
            }
        }
    }

    fn flush_sector(&mut self, sector: usize) {
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(self.bytes.len());
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        if start < end {
            self.durable[start..end].copy_from_slice(&self.bytes[start..end]);
        }
    }
}

impl Disk {
    /// Counts an operation; `Err` if the machine is down, `Ok(true)` if it goes down now.
    fn step(&mut self) -> io::Result<bool> {
        if self.crashed {
            return Err(crashed());
        }
        self.operations += 1;
        self.crashed = matches!(self.fault, Some(Fault::Crash { after }) if self.operations > after);
        Ok(self.crashed)
    }

    fn change(&mut self, change: NameChange) -> io::Result<()> {
        if self.step()? {
            return Err(crashed());
        }
        apply(&mut self.names, &change)?;
        self.unflushed.push(change);
        Ok(())
    }
}

impl Files for SimulatedFiles {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let mut disk = self.0.lock();
        if disk.crashed {
            return Err(crashed());
        }
        let inode = match (access, disk.names.get(path)) {
            (Access::Read | Access::Write, inode) => *inode.ok_or(io::ErrorKind::NotFound)?,
            (Access::Create, _) => {
                disk.inodes.push(Inode::default());
                let inode = disk.inodes.len() - 1;
                disk.change(NameChange::Set(path.to_owned(), inode))?;
                inode
            }
        };
        Ok(Box::new(Handle { disk: self.clone(), inode, epoch: disk.epoch }))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let disk = self.0.lock();
        let paths = disk.names.keys().filter(|path| path.parent() == Some(directory));
        Ok(paths.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.lock().change(NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().change(NameChange::Remove(path.to_owned()))
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        if disk.step()? {
            return Err(crashed());
        }
        let disk = &mut *disk;
        for change in disk.unflushed.drain(..) {
            apply(&mut disk.durable_names, &change)?;
        }
        Ok(())
    }

    fn make_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn claim(&self, _: &Path) -> io::Result<Claim> {
        Ok(Claim::Held(Box::new(())))
    }
}

impl File for Handle {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let disk = self.disk.0.lock();
        if disk.crashed || disk.epoch != self.epoch {
            return Err(crashed());
        }
        let bytes = &disk.inodes[self.inode].bytes;
        let from = usize::try_from(offset).map_err(io::Error::other)?.min(bytes.len());
        let count = buffer.len().min(bytes.len() - from);
        buffer[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk.0.lock();
        if disk.epoch != self.epoch {
            return Err(crashed());
        }
        let down = disk.step()?;
        let disk = &mut *disk;
        let mut count = bytes.len();
        // A write may always be short, and one that the crash interrupts usually is.
        if count > 1 && (down || disk.random.random_bool(0.1)) {
            count = disk.random.random_range(1..=count);
        }
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let inode = &mut disk.inodes[self.inode];
        if let Some(Fault::Full { after_bytes }) = &mut disk.fault {
            let growth = (offset + count).saturating_sub(inode.bytes.len()) as u64;
            let missing = growth.saturating_sub(*after_bytes);
            *after_bytes -= growth - missing;
            count -= usize::try_from(missing).unwrap_or(count).min(count);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        if inode.bytes.len() < offset + count {
            inode.bytes.resize(offset + count, 0);
        }
        inode.bytes[offset..offset + count].copy_from_slice(&bytes[..count]);
        inode.dirty.extend(offset / SECTOR..=(offset + count - 1) / SECTOR);
        if down { Err(crashed()) } else { Ok(count) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk.0.lock();
        if disk.epoch != self.epoch {
            return Err(crashed());
        }
        let down = disk.step()?;
        let disk = &mut *disk;
        let inode = &mut disk.inodes[self.inode];
        match disk.fault {
            _ if down => Err(crashed()),
            Some(Fault::Flush { after }) if disk.operations > after => {
                disk.fault = None;
                inode.settle(&mut disk.random);
                Err(io::Error::other("simulated failure of a flush"))
            }
            _ => {
                for sector in std::mem::take(&mut inode.dirty) {
                    inode.flush_sector(sector);
                }
                if inode.durable.len() < inode.bytes.len() {
                    inode.durable.resize(inode.bytes.len(), 0);
                }
                Ok(())
            }
        }
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().inodes[self.inode].bytes.len() as u64)
    }
}
