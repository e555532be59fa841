//! A small online shop: one static binary that plays one of four roles.
//!
//! `storefront` shows a page and asks the other three by name; every answer says which instance
//! gave it, so scaling and failure can be watched from a browser.

mod page;
mod roles;
mod web;

use std::net::SocketAddr;
use std::sync::Arc;

use clap::{Parser, ValueEnum};

/// Which service this process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// The page.
    Storefront,
    /// What can be bought.
    Catalog,
    /// What somebody is about to buy.
    Cart,
    /// What was bought.
    Orders,
}

/// Plays one role of the shop.
#[derive(Debug, Parser)]
struct Options {
    /// The role.
    role: Role,
    /// Address to listen on.
    #[arg(long, env = "SHOP_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Name of this instance, shown with its answers.
    #[arg(long, env = "HOSTNAME", default_value = "unnamed")]
    instance: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let service: Arc<dyn web::Service> = match options.role {
        Role::Storefront => Arc::new(page::Storefront::new(options.instance)),
        Role::Catalog => Arc::new(roles::Catalog::new(options.instance)),
        Role::Cart => Arc::new(roles::Cart::new(options.instance)),
        Role::Orders => Arc::new(roles::Orders::new(options.instance)),
    };
    web::serve(options.listen, service).await
}
