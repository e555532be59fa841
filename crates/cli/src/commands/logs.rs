//! `portolan logs`

use http::Method;
use http_body_util::BodyExt;

use crate::Api;
use crate::output::print_bytes;

/// Arguments of `logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portolan logs cart-7d9c -n shop
  portolan logs -f cart-7d9c --tail 20
  portolan logs cart-7d9c --previous")]
pub struct Arguments {
    /// The pod.
    pod: String,
    /// The container, if the pod has several.
    #[arg(short, long)]
    container: Option<String>,
    /// Keep printing as more comes.
    #[arg(short, long)]
    follow: bool,
    /// The container before the last restart.
    #[arg(short, long)]
    previous: bool,
    /// Only the last lines.
    #[arg(long)]
    tail: Option<u64>,
    /// With the time of each line.
    #[arg(long)]
    timestamps: bool,
}

pub(crate) async fn run(api: &Api, arguments: Arguments) -> anyhow::Result<()> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(container) = &arguments.container {
        query.append_pair("container", container);
    }
    if let Some(lines) = arguments.tail {
        query.append_pair("tailLines", &lines.to_string());
    }
    for (name, wanted) in
        [("follow", arguments.follow), ("previous", arguments.previous), ("timestamps", arguments.timestamps)]
    {
        if wanted {
            query.append_pair(name, "true");
        }
    }
    let pod = api.resource("pods").await?.path(api.namespace(), Some(&arguments.pod));
    let response = api.send(Method::GET, &format!("{pod}/log?{}", query.finish()), "*/*", None).await?;
    let mut body = response.into_body();
    let mut out = std::io::stdout();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| anyhow::anyhow!("read the log: {error}"))?;
        if let Some(data) = frame.data_ref()
            && !print_bytes(&mut out, data)?
        {
            break;
        }
    }
    Ok(())
}
