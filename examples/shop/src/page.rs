//! The page: asks the neighbours and shows who answered.

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::web::{Answer, Answering, Service, ask};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;\
color:#1c2b33;background:#f7f5ef}h1{font-weight:600}section{background:#fff;border:1px solid #ddd6c5;\
border-radius:8px;padding:1rem 1.25rem;margin:1rem 0}small{color:#6b7a80;float:right}.away{color:#a33}\
button{border:0;border-radius:6px;background:#0b5563;color:#fff;padding:.3rem .8rem;cursor:pointer}\
li{display:flex;justify-content:space-between;padding:.2rem 0}ul{padding:0}";

const SCRIPT: &str = "async function act(p,b){await fetch(p,{method:'POST',body:b});location.reload()}";

/// The page's service.
pub(crate) struct Storefront {
    instance: String,
}

impl Storefront {
    pub(crate) fn new(instance: String) -> Self {
        Self { instance }
    }

    async fn page(&self) -> String {
        let (catalog, cart, orders) = tokio::join!(
            ask(Method::GET, "catalog", "/products", None),
            ask(Method::GET, "cart", "/cart", None),
            ask(Method::GET, "orders", "/orders", None),
        );
        let products = section("Catalog", &catalog, |answer| {
            rows(&answer["products"], |product| {
                format!(
                    "<span>{} — {:.2} €</span><button onclick=\"act('/buy/{}')\">Add</button>",
                    text(&product["name"]),
                    product["price_cents"].as_f64().unwrap_or_default() / 100.0,
                    text(&product["id"]),
                )
            })
        });
        let cart = section("Cart", &cart, |answer| {
            let items = rows(&answer["items"], text);
            format!("{items}<button onclick=\"act('/order')\">Order</button>")
        });
        let orders = section("Orders", &orders, |answer| {
            rows(&answer["orders"], |order| {
                let items: Vec<String> = order.as_array().into_iter().flatten().map(text).collect();
                items.join(", ")
            })
        });
        format!(
            "<!doctype html><html lang=en><meta charset=utf-8><title>The Chandlery</title><style>{STYLE}</style>\
             <script>{SCRIPT}</script><h1>The Chandlery <small>page by {}</small></h1>{products}{cart}{orders}</html>",
            text(&json!(self.instance)),
        )
    }
}

fn section(title: &str, answer: &anyhow::Result<Value>, body: impl Fn(&Value) -> String) -> String {
    match answer {
        Ok(answer) => {
            format!(
                "<section><small>answered by {}</small><h2>{title}</h2>{}</section>",
                text(&answer["instance"]),
                body(answer)
            )
        }
        Err(error) => {
            let reason = text(&json!(format!("{error:#}")));
            format!("<section><h2>{title}</h2><p class=away>away: {reason}</p></section>")
        }
    }
}

fn rows(items: &Value, row: impl Fn(&Value) -> String) -> String {
    let rows: String = items.as_array().into_iter().flatten().map(|item| format!("<li>{}</li>", row(item))).collect();
    if rows.is_empty() { "<p>nothing yet</p>".into() } else { format!("<ul>{rows}</ul>") }
}

/// A string value, safe inside HTML.
fn text(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

impl Service for Storefront {
    fn answer<'a>(&'a self, method: Method, path: &'a str, _body: Bytes) -> Answering<'a> {
        Box::pin(async move {
            let forwarded = match (method, path) {
                (Method::GET, "/") => return Answer::Html(self.page().await),
                (Method::GET, "/healthz") => {
                    return Answer::Json(StatusCode::OK, json!({"instance": self.instance, "status": "ok"}));
                }
                (Method::POST, "/order") => ask(Method::POST, "orders", "/orders", None).await,
                (Method::POST, path) if path.starts_with("/buy/") => {
                    let product = path.trim_start_matches("/buy/");
                    ask(Method::POST, "cart", "/cart", Some(json!({"product": product}))).await
                }
                _ => return Answer::Json(StatusCode::NOT_FOUND, json!({"error": "no such page"})),
            };
            match forwarded {
                Ok(answer) => Answer::Json(StatusCode::OK, answer),
                Err(error) => Answer::Json(StatusCode::BAD_GATEWAY, json!({"error": format!("{error:#}")})),
            }
        })
    }
}
