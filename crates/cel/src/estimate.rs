//! What an expression costs at most, before there is a value.
//!
//! Sources: cel-go's `checker/cost.go`, Kubernetes' `pkg/cel/library/cost.go`. The bounds come from the
//! schemas of variables: how many elements, how many characters.

mod calls;

use std::sync::Arc;

use crate::ast::{Access, How};
use crate::cost;
use crate::environment::Environment;
use crate::plan::{FoldNode, Node, Op};
use crate::schema::{Kind, Schema};
use crate::types::Type;
use crate::value::Value;

/// Most that one rule of a custom resource may be estimated to cost.
pub const RULE_ESTIMATE_LIMIT: u64 = 10_000_000;

/// Most that all rules of a custom resource may be estimated to cost together.
pub const RESOURCE_ESTIMATE_LIMIT: u64 = 100_000_000;

/// Least and most of something: units, elements, characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// At least
    pub min: u64,
    /// At most
    pub max: u64,
}

impl Estimate {
    /// Exactly this many.
    pub const fn exactly(count: u64) -> Self {
        Self { min: count, max: count }
    }

    /// Nobody knows.
    pub(crate) const UNKNOWN: Self = Self { min: 0, max: u64::MAX };

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    /// So many times.
    #[must_use]
    pub const fn times(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    fn scaled(self, factor: f64) -> Self {
        Self { min: cost::scaled(self.min, factor), max: cost::scaled(self.max, factor) }
    }

    fn either(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// By how much a limit is exceeded, in upstream's words; `None` if it is not.
    pub fn excess(self, what: &str, limit: u64) -> Option<String> {
        if self.max <= limit {
            return None;
        }
        let factor = self.max as f64 / limit as f64;
        let factor = if factor > 100.0 {
            "more than 100x".to_owned()
        } else if factor < 1.5 {
            format!("{factor:.6}x")
        } else {
            format!("{factor:.1}x")
        };
        Some(format!("{what} exceeds budget by factor of {factor}"))
    }
}

pub(crate) fn estimate(root: &Node, environment: &Environment) -> Estimate {
    let whole = environment.variables.get("self").and_then(|(_, schema)| schema.clone());
    Estimator { environment, whole, locals: Vec::new() }.node(root).cost
}

/// What a field or a variable costs.
const ONE: Estimate = Estimate::exactly(cost::SELECT);

/// What is known of an expression.
#[derive(Debug, Clone)]
struct Known {
    cost: Estimate,
    /// Characters, elements or entries of its value.
    size: Option<Estimate>,
    /// Characters, elements or entries of each of its elements or values, if they are written out.
    parts: Option<Estimate>,
    /// What its value is, if it is a part of a variable.
    place: Place,
}

/// Where in the schemas of variables a value stands.
#[derive(Debug, Clone, Default)]
enum Place {
    /// It is no part of a variable.
    #[default]
    Nowhere,
    /// It should be a part of one, but the schema does not know it.
    Lost,
    /// There.
    At(Arc<Schema>),
}

impl Known {
    fn costing(cost: Estimate) -> Self {
        Self { cost, size: None, parts: None, place: Place::Nowhere }
    }

    fn at(place: Place) -> Self {
        Self { place, ..Self::costing(Estimate::exactly(0)) }
    }

    /// How large the value is.
    fn size(&self, ty: &Type) -> Estimate {
        if let Some(size) = self.size {
            return size;
        }
        if let Place::At(schema) = &self.place
            && let Some(max) = schema.most()
        {
            return Estimate { min: 0, max };
        }
        match ty {
            Type::String | Type::Bytes | Type::List(_) | Type::Map(_) | Type::Dyn | Type::Any | Type::Optional(_) => {
                Estimate::UNKNOWN
            }
            _ => Estimate::exactly(1),
        }
    }
}

struct Estimator<'e> {
    environment: &'e Environment,
    /// What all is about.
    whole: Option<Arc<Schema>>,
    /// What the variables of macros stand for.
    locals: Vec<Known>,
}

impl Estimator<'_> {
    /// What is known of a node. Every level of an expression stands on the stack with this: it only hands on.
    fn node(&mut self, node: &Node) -> Known {
        match &node.op {
            Op::Constant(value) => constant(value),
            Op::Variable(name) => self.variable(name),
            Op::Local(index) => self.local(*index),
            Op::Select { operand, field, access } => self.select(operand, field, *access),
            Op::And(terms) | Op::Or(terms) => self.logical(terms),
            Op::Choose(parts) => self.choose(parts),
            Op::Otherwise { first, second, .. } => self.otherwise(&node.ty, first, second),
            Op::Call(call) => self.call(call),
            Op::List(items) => self.items(items),
            Op::Map(entries) => self.map(entries),
            Op::Struct { fields, .. } => self.made(cost::STRUCT, fields.iter().map(|(_, value, _)| (value, false))),
            Op::Bind(nodes) => self.bind(nodes),
            Op::Fold(fold) => self.fold(fold),
        }
    }

    fn variable(&self, name: &str) -> Known {
        let schema = self.environment.variables.get(name).and_then(|(_, schema)| schema.clone());
        let place = schema.map_or_else(|| self.part(&Place::Nowhere, None), Place::At);
        Known { place, ..Known::costing(ONE) }
    }

    fn local(&self, index: usize) -> Known {
        let local = self.locals.get(index).cloned();
        Known { cost: ONE, ..local.unwrap_or(Known::costing(ONE)) }
    }

    fn select(&mut self, operand: &Node, field: &str, access: Access) -> Known {
        let holder = self.node(operand);
        let place = match access {
            Access::Optional => Place::Nowhere,
            _ => self.part(&holder.place, Some(field)),
        };
        let pays = access != Access::Presence
            && matches!(operand.ty, Type::Map(_) | Type::Object(_) | Type::Struct(_) | Type::Optional(_));
        let cost = if pays { holder.cost.plus(ONE) } else { holder.cost };
        Known { place, ..Known::costing(cost) }
    }

    fn logical(&mut self, terms: &[Node]) -> Known {
        let costs: Vec<Estimate> = terms.iter().map(|term| self.node(term).cost).collect();
        let all = costs.iter().fold(Estimate::exactly(0), |sum, cost| sum.plus(*cost));
        // The first term may decide.
        Known::costing(Estimate { min: costs.first().map_or(0, |cost| cost.min), max: all.max })
    }

    fn choose(&mut self, parts: &[Node; 3]) -> Known {
        let condition = self.node(&parts[0]);
        let (then, otherwise) = (self.node(&parts[1]), self.node(&parts[2]));
        let size = then.size(&parts[1].ty).either(otherwise.size(&parts[2].ty));
        let parts = then.parts.zip(otherwise.parts).map(|(then, otherwise)| then.either(otherwise));
        let cost = condition.cost.plus(then.cost.either(otherwise.cost));
        Known { size: Some(size), parts, ..Known::costing(cost) }
    }

    fn otherwise(&mut self, ty: &Type, first: &Node, second: &Node) -> Known {
        let (known, other) = (self.node(first), self.node(second));
        Known {
            size: Some(known.size(ty).either(other.size(&second.ty))),
            // The call is paid for as well.
            ..Known::costing(Estimate { min: known.cost.min, max: known.cost.plus(other.cost).plus(ONE).max })
        }
    }

    fn items(&mut self, items: &[(Node, bool)]) -> Known {
        let of_list = items.iter().map(|(item, _)| (item, true));
        Known { size: Some(Estimate::exactly(items.len() as u64)), ..self.made(cost::LIST, of_list) }
    }

    fn map(&mut self, entries: &[(Node, Node, bool)]) -> Known {
        let of_map = entries.iter().flat_map(|(key, value, _)| [(key, false), (value, true)]);
        Known { size: Some(Estimate::exactly(entries.len() as u64)), ..self.made(cost::MAP, of_map) }
    }

    /// Something written out of nodes, of which it is said whether they are elements or values.
    fn made<'n>(&mut self, base: u64, nodes: impl Iterator<Item = (&'n Node, bool)>) -> Known {
        let mut made = Known::costing(Estimate::exactly(base));
        for (node, is_part) in nodes {
            let known = self.node(node);
            made.cost = made.cost.plus(known.cost);
            if is_part {
                let size = known.size(&node.ty);
                made.parts = Some(made.parts.map_or(size, |parts| parts.either(size)));
            }
        }
        made
    }

    /// The place of a field (its name), or of the elements or values of something.
    ///
    /// As upstream: what is no part of a variable counts as what all is about.
    fn part(&self, place: &Place, field: Option<&str>) -> Place {
        let found = match place {
            Place::Nowhere => self.whole.clone(),
            Place::Lost => None,
            Place::At(schema) => part(schema, field),
        };
        found.map_or(Place::Lost, Place::At)
    }

    /// The place of the keys of a map.
    fn keys(&self, place: &Place) -> Place {
        match place {
            Place::At(schema) if matches!(schema.kind, Kind::Map(_)) => {
                let max_length = Some(schema.max_key_length);
                Place::At(Arc::new(Schema { max_length, ..Schema::new(Kind::String) }))
            }
            Place::Nowhere => self.part(place, None),
            _ => Place::Lost,
        }
    }

    fn bind(&mut self, [value, body]: &[Node; 2]) -> Known {
        let bound = self.node(value);
        let before = bound.cost.plus(Estimate::exactly(cost::LIST));
        self.locals.push(Known { size: Some(bound.size(&value.ty)), ..bound });
        let made = self.node(body);
        self.locals.pop();
        Known { cost: before.plus(made.cost), size: Some(made.size(&body.ty)), ..made }
    }

    fn fold(&mut self, fold: &FoldNode) -> Known {
        let range = self.node(&fold.range);
        let inner = self.part(&range.place, None);
        let depth = self.locals.len();
        let is_map = matches!(fold.range.ty, Type::Map(_));
        let keys = if is_map { self.keys(&range.place) } else { Place::Lost };
        match fold.variables {
            2 => self.locals.extend([keys, inner].map(Known::at)),
            // A map is gone through by its keys.
            _ => self.locals.push(Known::at(if is_map { keys } else { inner })),
        }
        let filter = fold.filter.as_ref().map_or(Estimate::exactly(0), |filter| self.node(filter).cost);
        let body = self.node(&fold.body).cost;
        self.locals.truncate(depth);
        let size = range.size(&fold.range.ty);
        let (start, step, end) = match fold.how {
            How::All => (0, filter.plus(body).plus(Estimate::exactly(3)), 1),
            How::Exists => (0, filter.plus(body).plus(Estimate::exactly(4)), 1),
            How::ExistsOne => (0, body.plus(Estimate { min: 1, max: 2 }), 2),
            How::OptMap | How::OptFlatMap => {
                let cost = Estimate { min: range.cost.min, max: range.cost.plus(body).max };
                return Known::costing(cost);
            }
            How::List | How::SortBy => {
                let item = body.plus(Estimate::exactly(cost::LIST + 1));
                let item = if fold.filter.is_some() { Estimate { min: 0, max: item.max } } else { item };
                (cost::LIST, filter.plus(item).plus(Estimate::exactly(1)), 1)
            }
            How::Map | How::MapEntry => {
                let item = body.plus(Estimate::exactly(1));
                let item = if fold.filter.is_some() { Estimate { min: 0, max: item.max } } else { item };
                (cost::MAP, filter.plus(item).plus(Estimate::exactly(1)), 1)
            }
        };
        let mut cost = range.cost.plus(Estimate::exactly(start + end)).plus(size.times(step));
        if fold.how == How::SortBy {
            cost = cost.plus(size.times(size));
        }
        let made = match fold.filter {
            Some(_) => Estimate { min: 0, max: size.max },
            None => size,
        };
        let is_collection = !matches!(fold.how, How::All | How::Exists | How::ExistsOne);
        Known { size: is_collection.then_some(made), ..Known::costing(cost) }
    }
}

/// What is known of a field, or of the elements or values.
fn part(schema: &Schema, field: Option<&str>) -> Option<Arc<Schema>> {
    match (&schema.kind, field) {
        (Kind::Object(object), Some(field)) => object.fields.get(field).map(|field| field.schema.clone()),
        (Kind::Map(values), _) => Some(values.clone()),
        (Kind::List(items, _), None) => Some(items.clone()),
        _ => None,
    }
}

fn constant(value: &Value<'_>) -> Known {
    let cost = match value {
        Value::List(_) => cost::LIST,
        Value::Map(_) => cost::MAP,
        _ => 0,
    };
    let sizes: Vec<u64> = match value {
        Value::List(list) => list.iter().map(|item| cost::size(&item)).collect(),
        Value::Map(map) => map.entries().iter().map(|(_, value)| cost::size(value)).collect(),
        _ => Vec::new(),
    };
    let parts = sizes.into_iter().map(Estimate::exactly).reduce(Estimate::either);
    Known { size: Some(Estimate::exactly(cost::size(value))), parts, ..Known::costing(Estimate::exactly(cost)) }
}
