//! `portolan kubeconfig`

use anyhow::Context;

use crate::output::print_line;
use crate::{Common, Place};

/// Arguments of `kubeconfig`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portolan kubeconfig > ~/.kube/config
  export KUBECONFIG=$(portolan kubeconfig --path)")]
pub struct Arguments {
    /// Print where the file is instead of its contents.
    #[arg(long)]
    path: bool,
}

pub(crate) fn run(common: &Common, arguments: &Arguments) -> anyhow::Result<()> {
    let path = Place::required(&common.data_dir)?.kubeconfig;
    if arguments.path {
        print_line(&path.display().to_string());
    } else {
        let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        print_line(text.trim_end());
    }
    Ok(())
}
