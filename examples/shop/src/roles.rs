//! The three services behind the page. Each answer carries the name of its instance.

use bytes::Bytes;
use hyper::{Method, StatusCode};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::web::{Answer, Answering, Service};

/// Something that can be bought.
#[derive(Debug, Clone, Serialize)]
struct Product {
    id: &'static str,
    name: &'static str,
    price_cents: u32,
}

const PRODUCTS: [Product; 4] = [
    Product { id: "compass", name: "Brass compass", price_cents: 4900 },
    Product { id: "chart", name: "Sea chart of the Balearics", price_cents: 3200 },
    Product { id: "lantern", name: "Deck lantern", price_cents: 2750 },
    Product { id: "rope", name: "Hemp rope, 20 m", price_cents: 1800 },
];

fn not_found(instance: &str) -> Answer {
    Answer::Json(StatusCode::NOT_FOUND, json!({"instance": instance, "error": "no such page"}))
}

fn healthy(instance: &str) -> Answer {
    Answer::Json(StatusCode::OK, json!({"instance": instance, "status": "ok"}))
}

/// What can be bought.
pub(crate) struct Catalog {
    instance: String,
}

impl Catalog {
    pub(crate) fn new(instance: String) -> Self {
        Self { instance }
    }
}

impl Service for Catalog {
    fn answer<'a>(&'a self, method: Method, path: &'a str, _body: Bytes) -> Answering<'a> {
        Box::pin(async move {
            match (method, path) {
                (Method::GET, "/products") => {
                    Answer::Json(StatusCode::OK, json!({"instance": self.instance, "products": PRODUCTS}))
                }
                (Method::GET, "/healthz") => healthy(&self.instance),
                _ => not_found(&self.instance),
            }
        })
    }
}

#[derive(Deserialize)]
struct Addition {
    product: String,
}

/// What somebody is about to buy. Kept in memory: the example is about finding, not about storing.
pub(crate) struct Cart {
    instance: String,
    items: Mutex<Vec<&'static str>>,
}

impl Cart {
    pub(crate) fn new(instance: String) -> Self {
        Self { instance, items: Mutex::default() }
    }

    fn contents(&self) -> Value {
        json!({"instance": self.instance, "items": *self.items.lock()})
    }

    fn add(&self, body: &[u8]) -> Answer {
        let known = serde_json::from_slice::<Addition>(body)
            .ok()
            .and_then(|addition| PRODUCTS.iter().find(|product| product.id == addition.product));
        match known {
            Some(product) => {
                self.items.lock().push(product.id);
                Answer::Json(StatusCode::OK, self.contents())
            }
            None => Answer::Json(
                StatusCode::BAD_REQUEST,
                json!({"instance": self.instance, "error": "send {\"product\": ID} with the id of a product"}),
            ),
        }
    }
}

impl Service for Cart {
    fn answer<'a>(&'a self, method: Method, path: &'a str, body: Bytes) -> Answering<'a> {
        Box::pin(async move {
            match (method, path) {
                (Method::GET, "/cart") => Answer::Json(StatusCode::OK, self.contents()),
                (Method::POST, "/cart") => self.add(&body),
                (Method::DELETE, "/cart") => {
                    self.items.lock().clear();
                    Answer::Json(StatusCode::OK, self.contents())
                }
                (Method::GET, "/healthz") => healthy(&self.instance),
                _ => not_found(&self.instance),
            }
        })
    }
}

/// What was bought.
pub(crate) struct Orders {
    instance: String,
    placed: Mutex<Vec<Value>>,
}

impl Orders {
    pub(crate) fn new(instance: String) -> Self {
        Self { instance, placed: Mutex::default() }
    }

    /// Turns the cart into an order: asks the cart by its name, then empties it.
    async fn place(&self) -> Answer {
        let failed = |error: anyhow::Error| {
            Answer::Json(StatusCode::BAD_GATEWAY, json!({"instance": self.instance, "error": format!("{error:#}")}))
        };
        let cart = match crate::web::ask(Method::GET, "cart", "/cart", None).await {
            Ok(cart) => cart,
            Err(error) => return failed(error),
        };
        if cart["items"].as_array().is_none_or(Vec::is_empty) {
            return Answer::Json(
                StatusCode::CONFLICT,
                json!({"instance": self.instance, "error": "the cart is empty: add a product first"}),
            );
        }
        if let Err(error) = crate::web::ask(Method::DELETE, "cart", "/cart", None).await {
            return failed(error);
        }
        self.placed.lock().push(cart["items"].clone());
        Answer::Json(StatusCode::CREATED, self.list())
    }

    fn list(&self) -> Value {
        json!({"instance": self.instance, "orders": *self.placed.lock()})
    }
}

impl Service for Orders {
    fn answer<'a>(&'a self, method: Method, path: &'a str, _body: Bytes) -> Answering<'a> {
        Box::pin(async move {
            match (method, path) {
                (Method::GET, "/orders") => Answer::Json(StatusCode::OK, self.list()),
                (Method::POST, "/orders") => self.place().await,
                (Method::GET, "/healthz") => healthy(&self.instance),
                _ => not_found(&self.instance),
            }
        })
    }
}
