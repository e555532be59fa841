//! From what was read to what can be evaluated: names and types.

mod calls;
mod fold;
mod unify;

use std::sync::Arc;

use crate::ast::{Access, Entry, Expr, Field, Item, Kind, Literal};
use crate::environment::Environment;
use crate::lexer::Problem;
use crate::parser::{MAX_DEPTH, TOO_DEEP};
use crate::plan::{Node, Op};
use crate::source::Problems;
use crate::types::Type;
use crate::value::{Entries, Map, Text, Value};
use unify::Unifier;

/// How deep the evaluation of an expression may go, to what has no parts any more. The parser does not count lists,
/// functions and logical operators, and what is bound to a name is computed where that is used: so more is refused here.
/// Upstream has all the stack it wants; ours is that of a worker thread, also in a build without optimisation.
const MAX_STACK: usize = MAX_DEPTH + 1;

/// What comes of an expression in which nothing is wrong.
pub(crate) struct Checked {
    pub(crate) root: Node,
    /// Why a part of it that is constant has no value.
    pub(crate) failure: Option<String>,
}

/// Checks an expression.
pub(crate) fn check(environment: &Environment, expression: &Expr) -> Result<Checked, Problems> {
    let mut checker = Checker {
        environment,
        unifier: Unifier::default(),
        scope: Vec::new(),
        problems: Problems::default(),
        doubts: Problems::default(),
        literals: Vec::new(),
        formats: 0,
        depth: 0,
        deepest: 0,
        is_too_deep: false,
        failure: None,
    };
    let mut node = checker.expression(expression);
    if checker.problems.is_empty() {
        checker.check_literals();
    }
    if !checker.problems.is_empty() {
        return Err(checker.problems);
    }
    checker.unifier.finish(&mut node);
    Ok(Checked { root: node, failure: checker.failure })
}

struct Checker<'a> {
    environment: &'a Environment,
    unifier: Unifier,
    /// Variables of the macros around, from the outside in.
    scope: Vec<Variable<'a>>,
    problems: Problems,
    /// What is wrong with constants. It matters only if all types fit.
    doubts: Problems,
    /// Elements of literal lists, keys and values of literal maps: their places and types. All of a literal are
    /// of one type.
    literals: Vec<Vec<(u32, Type)>>,
    /// How many calls of `format` there are around; what they are given is of any type.
    formats: usize,
    /// How deep the evaluation is where this is, and how deep it went.
    depth: usize,
    deepest: usize,
    is_too_deep: bool,
    /// Why the first of the constant parts that have no value has none.
    failure: Option<String>,
}

struct Variable<'a> {
    name: &'a str,
    ty: Type,
    /// How deep it is to compute what is bound to it.
    depth: usize,
}

impl<'a> Checker<'a> {
    fn report(&mut self, at: u32, message: String) -> Node {
        self.problems.push(Problem::at(at, message));
        nothing()
    }

    fn expression(&mut self, expression: &'a Expr) -> Node {
        self.depth += 1;
        let node = if self.reaches(self.depth) { self.node(expression) } else { nothing() };
        self.depth -= 1;
        node
    }

    /// Notes how deep evaluation goes. That it is too deep is told once.
    fn reaches(&mut self, depth: usize) -> bool {
        self.deepest = self.deepest.max(depth);
        let fits = depth <= MAX_STACK;
        if !fits && !std::mem::replace(&mut self.is_too_deep, true) {
            self.problems.push(Problem::of_all(TOO_DEEP));
        }
        fits
    }

    fn node(&mut self, expression: &'a Expr) -> Node {
        match &expression.kind {
            Kind::Literal(literal) => constant(literal),
            Kind::Name(name) => match self.resolve(name) {
                Some(Node { op: Op::Local(index), ty }) => {
                    self.reaches(self.depth + self.scope[index].depth);
                    Node { op: Op::Local(index), ty }
                }
                Some(node) => node,
                None => self.report(expression.at, format!("undeclared reference to '{name}' (in container '')")),
            },
            Kind::Select { operand, field, access } => self.select(expression, operand, field, *access),
            Kind::Call { target, function, arguments } => {
                self.call(expression.at, target.as_deref(), function, arguments)
            }
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Struct { name, fields } => self.structure(expression.at, name, fields),
            Kind::Fold(fold) => self.fold(expression.at, fold),
        }
    }

    /// What a name stands for.
    fn resolve(&self, name: &str) -> Option<Node> {
        if let Some(index) = self.scope.iter().rposition(|local| local.name == name) {
            return Some(Node { op: Op::Local(index), ty: self.scope[index].ty.clone() });
        }
        if let Some((ty, _)) = self.environment.variables.get(name) {
            return Some(Node { op: Op::Variable(name.into()), ty: ty.clone() });
        }
        let is_made = self.environment.mutation && is_struct(name);
        let named = if is_made { Some(Type::Struct(name.into())) } else { named_type(name) };
        named.map(|named| Node { op: Op::Constant(Value::Type(name.into())), ty: Type::Type(Arc::new(named)) })
    }

    /// `a.b.c` as one name, unless `a` is a variable of a macro.
    fn qualified(&self, expression: &Expr) -> Option<String> {
        let (mut fields, mut operand) = (Vec::new(), expression);
        while let Kind::Select { operand: inner, field, access: Access::Value } = &operand.kind {
            fields.push(field.as_str());
            operand = inner;
        }
        let Kind::Name(name) = &operand.kind else { return None };
        fields.push(name);
        fields.reverse();
        self.scope.iter().all(|local| local.name != name).then(|| fields.join("."))
    }

    fn select(&mut self, whole: &'a Expr, operand: &'a Expr, field: &str, access: Access) -> Node {
        if access == Access::Value
            && let Some(name) = self.qualified(whole)
            && let Some(node) = self.resolve(&name)
        {
            return node;
        }
        if access == Access::Presence
            && let Some(operand) = self.qualified(operand)
            && self.environment.variables.contains_key(&format!("{operand}.{field}"))
        {
            return Node { op: Op::Constant(Value::Bool(true)), ty: Type::Bool };
        }
        let operand = self.expression(operand);
        let operand_type = self.unifier.resolve(&operand.ty);
        let (through_optional, holder) = match &operand_type {
            Type::Optional(inner) => (true, (**inner).clone()),
            other => (false, other.clone()),
        };
        let ty = match self.field_type(&holder, field) {
            Ok(ty) => ty,
            Err(message) => {
                let wrong = self.report(whole.at, message);
                // That it may be missing is known all the same.
                return if through_optional { Node { ty: Type::optional(Type::Dyn), ..wrong } } else { wrong };
            }
        };
        let ty = match access {
            Access::Presence => Type::Bool,
            Access::Optional => Type::optional(ty),
            Access::Value if through_optional => Type::optional(ty),
            Access::Value => ty,
        };
        Node { op: Op::Select { operand: Box::new(operand), field: field.into(), access }, ty }
    }

    fn field_type(&self, holder: &Type, field: &str) -> Result<Type, String> {
        let holder = self.unifier.resolve(holder);
        match &holder {
            Type::Dyn | Type::Any | Type::Error | Type::Variable(_) => Ok(Type::Dyn),
            Type::Map(pair) => Ok(pair.1.clone()),
            Type::Object(object) => match object.fields.get(field) {
                Some(known) => Ok(known.schema.ty()),
                None => Err(format!("undefined field '{field}'")),
            },
            Type::Struct(name) => struct_field(name, field).ok_or_else(|| format!("undefined field '{field}'")),
            other => Err(format!("type '{other}' does not support field selection")),
        }
    }

    /// The type of the elements of a literal so far and of one more.
    fn join(&mut self, so_far: Option<Type>, next: Type) -> Option<Type> {
        let Some(so_far) = so_far else { return Some(next) };
        if !self.unifier.assign(&so_far, &next) {
            return Some(Type::Dyn);
        }
        Some(if self.unifier.resolve(&next).is_dyn() { next } else { so_far })
    }

    /// Reports what is wrong with constants and literals, which the types alone do not tell.
    fn check_literals(&mut self) {
        self.problems = std::mem::take(&mut self.doubts);
        for literal in std::mem::take(&mut self.literals) {
            let Some((_, first)) = literal.first() else { continue };
            let first = self.unifier.show(first);
            let other = literal.iter().map(|(at, ty)| (*at, self.unifier.show(ty))).find(|(_, ty)| *ty != first);
            if let Some((at, ty)) = other {
                self.problems.push(Problem::at(at, format!("expected type '{first}' but found '{ty}'")));
            }
        }
    }

    /// Remembers the elements of a literal.
    fn note(&mut self, elements: Vec<(u32, Type)>) {
        if self.formats == 0 {
            self.literals.push(elements);
        }
    }

    fn optional_value(&mut self, at: u32, node: &Node, optional: bool) -> Type {
        if !optional {
            return node.ty.clone();
        }
        match self.unifier.resolve(&node.ty) {
            Type::Optional(inner) => (*inner).clone(),
            ty if ty.is_dyn() => Type::Dyn,
            other => {
                self.report(at, format!("expected type 'optional_type({other})' but found '{other}'"));
                Type::Error
            }
        }
    }

    fn list(&mut self, items: &'a [Item]) -> Node {
        let mut nodes = Vec::with_capacity(items.len());
        let mut element = None;
        let mut elements = Vec::with_capacity(items.len());
        for item in items {
            let node = self.expression(&item.value);
            let ty = self.optional_value(item.value.at, &node, item.optional);
            elements.push((item.value.at, ty.clone()));
            element = self.join(element, ty);
            nodes.push((node, item.optional));
        }
        self.note(elements);
        let element = element.unwrap_or_else(|| self.unifier.fresh());
        let constants = nodes.iter().map(|(node, optional)| match &node.op {
            Op::Constant(value) if !optional => Some(value.clone()),
            _ => None,
        });
        let op = match constants.collect::<Option<Vec<_>>>() {
            Some(values) => Op::Constant(Value::list(values)),
            None => Op::List(nodes),
        };
        Node { op, ty: Type::list(element) }
    }

    fn map(&mut self, entries: &'a [Entry]) -> Node {
        let mut nodes = Vec::with_capacity(entries.len());
        let (mut keys, mut values) = (None, None);
        let (mut all_keys, mut all_values) = (Vec::new(), Vec::new());
        let mut constants: Option<Entries<'static>> = Some(Entries::new());
        for entry in entries {
            let key = self.expression(&entry.key);
            all_keys.push((entry.key.at, key.ty.clone()));
            keys = self.join(keys, key.ty.clone());
            let value = self.expression(&entry.value);
            let ty = self.optional_value(entry.value.at, &value, entry.optional);
            all_values.push((entry.value.at, ty.clone()));
            values = self.join(values, ty);
            constants = match (constants, &key.op, &value.op) {
                (Some(mut known), Op::Constant(key), Op::Constant(value)) if !entry.optional => match key.as_key() {
                    Some(plain) if !known.contains_key(&plain) => {
                        known.insert(plain, (key.clone(), value.clone()));
                        Some(known)
                    }
                    _ => None,
                },
                _ => None,
            };
            nodes.push((key, value, entry.optional));
        }
        self.note(all_keys);
        self.note(all_values);
        let key = keys.unwrap_or_else(|| self.unifier.fresh());
        let value = values.unwrap_or_else(|| self.unifier.fresh());
        let op = match constants {
            Some(entries) => Op::Constant(Value::Map(Map::Made(Arc::new(entries)))),
            None => Op::Map(nodes),
        };
        Node { op, ty: Type::map(key, value) }
    }

    fn structure(&mut self, at: u32, name: &str, fields: &'a [Field]) -> Node {
        if !self.environment.mutation || !is_struct(name) {
            return self.report(at, format!("undeclared reference to '{name}' (in container '')"));
        }
        let mut nodes: Vec<(Arc<str>, Node, bool)> = Vec::with_capacity(fields.len());
        for field in fields {
            let value = self.expression(&field.value);
            let ty = self.optional_value(field.value.at, &value, field.optional);
            let wanted = struct_field(name, &field.name);
            if !wanted.as_ref().is_some_and(|wanted| self.unifier.assign(wanted, &ty)) {
                let ty = self.unifier.show(&ty);
                let name = &field.name;
                let wanted = wanted.map_or_else(String::new, |wanted| wanted.to_string());
                self.report(
                    field.at,
                    format!("expected type of field '{name}' is '{wanted}' but provided type is '{ty}'"),
                );
            }
            nodes.push((field.name.as_str().into(), value, field.optional));
        }
        Node { op: Op::Struct { name: name.into(), fields: nodes }, ty: Type::Struct(name.into()) }
    }
}

/// Whether mutations build objects of this name.
fn is_struct(name: &str) -> bool {
    name == "JSONPatch" || name == "Object" || name.starts_with("Object.")
}

/// The type that a name stands for.
fn named_type(name: &str) -> Option<Type> {
    Some(match name {
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "list" => Type::list(Type::Dyn),
        "map" => Type::map(Type::Dyn, Type::Dyn),
        "null_type" => Type::Null,
        "type" => Type::Type(Arc::new(Type::Dyn)),
        "optional_type" => Type::optional(Type::Dyn),
        "google.protobuf.Duration" => Type::Duration,
        "google.protobuf.Timestamp" => Type::Timestamp,
        _ => return None,
    })
}

/// The type of a field of what mutations build. Which fields an object has is known when it is merged.
fn struct_field(name: &str, field: &str) -> Option<Type> {
    match (name, field) {
        ("JSONPatch", "op" | "path" | "from") => Some(Type::String),
        ("JSONPatch", "value") => Some(Type::Dyn),
        ("JSONPatch", _) => None,
        _ => Some(Type::Dyn),
    }
}

/// What stands for something that is wrong.
fn nothing() -> Node {
    Node { op: Op::Constant(Value::Null), ty: Type::Error }
}

fn constant(literal: &Literal) -> Node {
    let (value, ty) = match literal {
        Literal::Null => (Value::Null, Type::Null),
        Literal::Bool(value) => (Value::Bool(*value), Type::Bool),
        Literal::Int(value) => (Value::Int(*value), Type::Int),
        Literal::Uint(value) => (Value::Uint(*value), Type::Uint),
        Literal::Double(value) => (Value::Double(*value), Type::Double),
        Literal::String(text) => (Value::String(Text::Shared(text.as_str().into())), Type::String),
        Literal::Bytes(bytes) => (Value::Bytes(bytes.as_slice().into()), Type::Bytes),
    };
    Node { op: Op::Constant(value), ty }
}
