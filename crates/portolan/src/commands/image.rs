//! `portolan image`: images of this machine, without a registry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use portolan_cli::{Format, Place, document, table};
use portolan_node::POD_NAME;
use portolan_runtime::cri::CriRuntime;
use portolan_runtime::{ContainerStatus, Image, Images, Runtime, image};
use serde_json::json;

/// Builds, loads, lists and removes images without a registry.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Build an image from a Dockerfile without RUN.
    #[command(after_help = "\
Examples:
  portolan image build -t my-image:latest .
  portolan image build -t my-image:2 -f deploy/Dockerfile target/release

Understood are FROM scratch, FROM <loaded image>, COPY, ADD of local files, ENV, ARG, WORKDIR, USER,
EXPOSE, LABEL, ENTRYPOINT and CMD. Anything else is refused with its line.")]
    Build {
        /// Name of the image.
        #[arg(short, long)]
        tag: String,
        /// The Dockerfile [default: Dockerfile in the context].
        #[arg(short, long)]
        file: Option<PathBuf>,
        /// Folder with the files to copy.
        context: PathBuf,
        #[command(flatten)]
        machine: Machine,
    },
    /// Load images from an archive (docker-archive or OCI layout tar).
    #[command(after_help = "Example:\n  portolan image load image.tar")]
    Load {
        /// The archive.
        archive: PathBuf,
        #[command(flatten)]
        machine: Machine,
    },
    /// List the images on this machine.
    #[command(after_help = "\
Examples:
  portolan image ls
  portolan image list -o json")]
    #[command(visible_alias = "list")]
    Ls {
        /// Output format.
        #[arg(short, long)]
        output: Option<Format>,
        #[command(flatten)]
        machine: Machine,
    },
    /// Remove images from this machine, each with all its names.
    #[command(
        visible_alias = "remove",
        after_help = "\
Examples:
  portolan image rm my-image:latest
  portolan image rm my-image:1 my-image:2
  portolan image rm 3f57d9401f8d"
    )]
    Rm {
        /// Names or ids of images, or how ids begin.
        #[arg(required = true)]
        images: Vec<String>,
        #[command(flatten)]
        machine: Machine,
    },
}

/// Which cluster on this machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Machine {
    /// Folder of the cluster.
    #[arg(long, env = "PORTOLAN_DATA_DIR", default_value = "/var/lib/portolan")]
    data_dir: PathBuf,
}

impl Machine {
    async fn runtime(&self) -> anyhow::Result<CriRuntime> {
        let place = Place::required(&self.data_dir)?;
        if Place::server(&self.data_dir).is_none() {
            bail!("the server is not running; start it with `portolan up`");
        }
        crate::config::local_runtime(&self.data_dir, &place.runtime_socket).await.context("reach the container runtime")
    }
}

/// Runs the command.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Build { tag, file, context, machine } => {
            let dockerfile = file.unwrap_or_else(|| context.join("Dockerfile"));
            build(&machine.runtime().await?, &tag, &dockerfile, &context).await
        }
        Command::Load { archive, machine } => {
            for name in machine.runtime().await?.load(&archive).await? {
                println!("{name} loaded");
            }
            Ok(())
        }
        Command::Ls { machine, output } => list(&machine.runtime().await?, output).await,
        Command::Rm { images, machine } => remove(&machine.runtime().await?, &images).await,
    }
}

async fn build(runtime: &CriRuntime, tag: &str, dockerfile: &Path, context: &Path) -> anyhow::Result<()> {
    let before = runtime.image(tag).await?.map(|image| image.id);
    let scratch = tempfile::tempdir().context("make a scratch folder")?;
    let request = image::build::Request {
        context: context.to_owned(),
        dockerfile: dockerfile.to_owned(),
        name: tag.to_owned(),
        arguments: BTreeMap::new(),
        archive: scratch.path().join("image.tar"),
    };
    image::build::build(&request, runtime).await?;
    runtime.load(&request.archive).await?;
    let after = runtime.image(tag).await?.map(|image| image.id);
    let outcome = if before == after { "unchanged" } else { "built" };
    println!("{tag} {outcome}");
    Ok(())
}

async fn list(runtime: &CriRuntime, output: Option<Format>) -> anyhow::Result<()> {
    if let Some(format @ (Format::Json | Format::Yaml)) = output {
        let images = runtime.images().await?;
        let images = images.iter().map(|image| {
            let source = if image.local { "local" } else { "pulled" };
            json!({"id": image.id, "tags": image.tags, "sizeBytes": image.size_bytes, "source": source})
        });
        return document(&images.collect(), format);
    }
    let mut rows = Vec::new();
    for image in runtime.images().await? {
        let id = digits(&image.id).chars().take(12).collect::<String>();
        let size = format!("{:.1} MB", image.size_bytes as f64 / 1e6);
        for tag in &image.tags {
            let source = if image.local { "local" } else { "pulled" };
            rows.push(vec![tag.clone(), id.clone(), size.clone(), source.to_owned()]);
        }
    }
    rows.sort();
    table(["Image", "Id", "Size", "Source"], rows);
    Ok(())
}

/// Goes on after one that cannot be removed.
async fn remove(runtime: &CriRuntime, references: &[String]) -> anyhow::Result<()> {
    // All are looked for before any goes: two may be names of the same.
    let present = runtime.images().await?;
    let (mut found, mut failures) = (BTreeMap::new(), Vec::new());
    for reference in references {
        match find(runtime, &present, reference).await {
            Ok(image) => drop(found.entry(image.id.clone()).or_insert((reference, image))),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    for (id, (reference, image)) in found {
        if let Some(reason) = still_needed(&image, &runtime.containers().await?) {
            failures.push(format!("{reference} stays: {reason}"));
            continue;
        }
        runtime.remove_image(&id).await?;
        image.tags.iter().chain([&id]).for_each(|name| println!("{name} removed"));
    }
    if failures.is_empty() { Ok(()) } else { bail!("{}", failures.join("\n")) }
}

/// An id without the name of its algorithm.
fn digits(id: &str) -> &str {
    id.strip_prefix("sha256:").unwrap_or(id)
}

/// An image by a name, or by its id or how that begins.
async fn find(runtime: &CriRuntime, present: &[Image], reference: &str) -> anyhow::Result<Image> {
    let given = digits(reference);
    let is_id = !given.is_empty() && given.bytes().all(|byte| byte.is_ascii_hexdigit());
    let present = if is_id { present } else { &[] };
    let by_id: Vec<&Image> = present.iter().filter(|image| digits(&image.id).starts_with(given)).collect();
    // What is a name of one image may be how the id of another begins.
    let by_name = runtime.image(reference).await;
    match (by_name, &by_id[..]) {
        (Ok(Some(image)), _) => Ok(image),
        (_, [image]) => Ok((*image).clone()),
        (_, [_, _, ..]) => bail!("{reference} begins the ids of {} images; give more of it", by_id.len()),
        (Ok(None), []) => bail!("{reference} is not on this machine; `portolan image ls` lists what is"),
        (Err(error), []) => Err(error.into()),
    }
}

/// Why an image cannot go; containers that have ended may be started again.
fn still_needed(image: &Image, containers: &[ContainerStatus]) -> Option<String> {
    if image.pinned {
        return Some("the container runtime itself needs it".to_owned());
    }
    let user = containers.iter().find(|it| it.image_id == image.id || image.digests.contains(&it.image_id))?;
    let pod = user.labels.get(POD_NAME).map(|pod| format!(" of pod {pod}")).unwrap_or_default();
    Some(format!("container {}{pod} uses it", user.name))
}
