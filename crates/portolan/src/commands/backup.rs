//! `portolan backup` and `portolan restore`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use portolan_cli::Place;

use crate::encryption;

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArguments {
    /// The backup.
    file: PathBuf,
    /// Folder of the cluster.
    #[arg(long, env = "PORTOLAN_DATA_DIR", default_value = "/var/lib/portolan")]
    data_dir: PathBuf,
}

/// Makes a store from a backup, and takes over the keys of Secrets that lie beside it. The objects that were there before are kept beside it.
pub(crate) fn restore(arguments: &RestoreArguments) -> anyhow::Result<()> {
    if Place::server(&arguments.data_dir).is_some() {
        bail!("the cluster is running; stop it with `portolan down --keep-data` first");
    }
    let (identity, keys) = (arguments.data_dir.join("identity"), portolan_cli::keys_of_backup(&arguments.file));
    // Refused before anything is touched.
    let keys = if keys.exists() { Some(encryption::Restored::read(&identity, &keys)?) } else { None };
    let store = arguments.data_dir.join("store");
    if store.exists() {
        let before = arguments.data_dir.join("store.before-restore");
        if before.exists() {
            bail!("{} is there from an earlier restore; remove it first", before.display());
        }
        std::fs::rename(&store, &before).with_context(|| format!("move {} away", store.display()))?;
        println!("the objects of before are kept in {}", before.display());
    }
    let revision = portolan_store::embedded::restore(&portolan_store::embedded::SystemFiles, &arguments.file, &store)
        .with_context(|| format!("restore {}", arguments.file.display()))?;
    if let Some(keys) = keys {
        keys.write()?;
    }
    println!("restored up to revision {revision}; start with `portolan up`");
    Ok(())
}
