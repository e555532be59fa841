//! Functions and operators.

use std::sync::Arc;

use super::{Checker, nothing};
use crate::ast::{Expr, Kind};
use crate::functions::{FUNCTIONS, Outcome, Overload, Style, no_overload_of};
use crate::lexer::Problem;
use crate::library::{self, text_format};
use crate::plan::{Call, Node, Op};
use crate::types::Type;
use crate::value::Value;

impl<'a> Checker<'a> {
    pub(super) fn call(&mut self, at: u32, target: Option<&'a Expr>, function: &'a str, arguments: &'a [Expr]) -> Node {
        match function {
            "_&&_" | "_||_" => return self.logical(function, arguments),
            "_?_:_" => return self.choose(at, arguments),
            "bind" if self.environment.bindings => match (target, arguments) {
                (Some(Expr { kind: Kind::Name(cel), .. }), [name, value, body]) if cel == "cel" => {
                    return self.bind(name, value, body);
                }
                _ => {}
            },
            _ => {}
        }
        // `sets.contains(...)`: what looks like a value is the first part of a name.
        if let Some(target) = target
            && let Some(prefix) = self.qualified(target)
            && let Some((name, overloads)) = self.function(&format!("{prefix}.{function}"))
        {
            let nodes = arguments.iter().map(|argument| self.expression(argument)).collect();
            return self.overloaded(at, name, overloads, Style::Global, nodes, arguments);
        }
        let style = if target.is_some() { Style::Member } else { Style::Global };
        let is_format = function == "format";
        self.formats += usize::from(is_format);
        let nodes: Vec<Node> = target.into_iter().chain(arguments).map(|argument| self.expression(argument)).collect();
        self.formats -= usize::from(is_format);
        match self.function(function) {
            Some((name, overloads)) => self.overloaded(at, name, overloads, style, nodes, arguments),
            None => self.report(at, format!("undeclared reference to '{function}' (in container '')")),
        }
    }

    fn function(&self, name: &str) -> Option<(&'static str, &'static [Overload])> {
        let (name, overloads) = FUNCTIONS.get_key_value(name)?;
        let available = self.environment.mutation || !library::FOR_MUTATION.contains(name);
        available.then_some((*name, overloads.as_slice()))
    }

    fn overloaded(
        &mut self,
        at: u32,
        name: &'static str,
        overloads: &'static [Overload],
        style: Style,
        arguments: Vec<Node>,
        texts: &[Expr],
    ) -> Node {
        let given: Vec<Type> = arguments.iter().map(|node| node.ty.clone()).collect();
        let mut fitting = Vec::new();
        let mut result: Option<Type> = None;
        for overload in overloads.iter().filter(|overload| overload.style == style) {
            if overload.arguments.len() != given.len() {
                continue;
            }
            let signature: Vec<&Type> = overload.arguments.iter().chain([&overload.result]).collect();
            let mut signature = self.unifier.instance(&signature);
            let Some(made) = signature.pop() else { continue };
            if !self.unifier.assign_all(&signature, &given) {
                continue;
            }
            fitting.push(overload);
            let made = self.unifier.resolve(&made);
            result = Some(match result {
                None => made,
                Some(earlier) if earlier == made => made,
                Some(_) => Type::Dyn,
            });
        }
        let Some(ty) = result else {
            let message = self.no_match(name, style, &given);
            return self.report(at, message);
        };
        let pattern = match (name, arguments.get(1).map(|node| &node.op)) {
            ("matches" | "find" | "findAll", Some(Op::Constant(Value::String(text)))) => {
                Some(library::regex::compile(text))
            }
            _ => None,
        };
        if let Some(Err(why)) = &pattern {
            self.failure.get_or_insert_with(|| why.to_string());
        }
        let pattern = pattern.and_then(Result::ok);
        let call = Call { function: name, overloads: fitting, arguments, pattern };
        self.check_constants(at, texts, &call);
        if let Some(Err(why)) = converted(&call) {
            self.failure.get_or_insert_with(|| why.to_string());
        }
        let op = match (name, <[Node; 2]>::try_from(call.arguments)) {
            ("or" | "orValue", Ok([first, second])) => {
                let (first, second) = (Box::new(first), Box::new(second));
                Op::Otherwise { first, second, unwrap: name == "orValue" }
            }
            (_, arguments) => Op::Call(Call { arguments: arguments.map_or_else(|others| others, Vec::from), ..call }),
        };
        Node { op, ty }
    }

    /// Says that nothing of that name takes such arguments.
    pub(super) fn no_match(&self, name: &str, style: Style, given: &[Type]) -> String {
        let mut shown: Vec<String> = given.iter().map(|ty| self.unifier.show(ty).to_string()).collect();
        let receiver = match style {
            Style::Member if !shown.is_empty() => format!("{}.", shown.remove(0)),
            _ => String::new(),
        };
        format!("found no matching overload for '{name}' applied to '{receiver}({})'", shown.join(", "))
    }

    /// Constants that can be seen to be wrong before anything is evaluated.
    fn check_constants(&mut self, at: u32, texts: &[Expr], call: &Call) {
        let Call { function: name, arguments, .. } = call;
        let text_of = |node: Option<&Node>| match node.map(|node| &node.op) {
            Some(Op::Constant(Value::String(text))) => Some(text.to_string()),
            _ => None,
        };
        // As upstream, it is the first in the brackets that is looked at, whatever it is to the function.
        let first = texts.first().filter(|first| matches!(first.kind, Kind::Literal(_)));
        let wrong = match (*name, first) {
            ("duration" | "timestamp", Some(_)) => matches!(converted(call), Some(Err(_))),
            ("matches", Some(_)) => text_of(arguments.get(arguments.len() - texts.len()))
                .is_some_and(|text| library::regex::compile(&text).is_err()),
            _ => false,
        };
        if wrong && let Some(first) = first {
            self.doubts.push(Problem::at(first.at, format!("invalid {name} argument")));
        }
        if *name == "format"
            && let (Some(text), [Expr { kind: Kind::List(items), .. }]) = (text_of(arguments.first()), texts)
        {
            let types: Vec<Type> = match &arguments[1].op {
                Op::List(nodes) => nodes.iter().map(|(node, _)| self.unifier.show(&node.ty)).collect(),
                Op::Constant(Value::List(list)) => list.iter().map(|value| type_of(&value)).collect(),
                _ => return,
            };
            if let Err((argument, message)) = text_format::check(&text, &types) {
                let at = argument.and_then(|index| items.get(index)).map_or(at, |item| item.value.at);
                self.doubts.push(Problem::at(at, message));
            }
        }
    }

    fn logical(&mut self, function: &str, terms: &'a [Expr]) -> Node {
        let nodes: Vec<Node> = terms.iter().map(|term| self.expression(term)).collect();
        let mut fits = true;
        for (term, node) in terms.iter().zip(&nodes) {
            if !self.unifier.assign(&Type::Bool, &node.ty) {
                let found = self.unifier.show(&node.ty);
                self.report(term.at, format!("expected type 'bool' but found '{found}'"));
                fits = false;
            }
        }
        if !fits {
            return nothing();
        }
        let op = if function == "_&&_" { Op::And(nodes) } else { Op::Or(nodes) };
        Node { op, ty: Type::Bool }
    }

    fn choose(&mut self, at: u32, arguments: &'a [Expr]) -> Node {
        let nodes: Vec<Node> = arguments.iter().map(|argument| self.expression(argument)).collect();
        let given: Vec<Type> = nodes.iter().map(|node| node.ty.clone()).collect();
        let either = self.unifier.fresh();
        let fits = self.unifier.assign_all(&[Type::Bool, either.clone(), either.clone()], &given);
        let Some(nodes) = <[Node; 3]>::try_from(nodes).ok().filter(|_| fits) else {
            let message = self.no_match("_?_:_", Style::Global, &given);
            return self.report(at, message);
        };
        let ty = if nodes[1..].iter().any(|node| self.unifier.resolve(&node.ty) == Type::Dyn) {
            Type::Dyn
        } else {
            self.unifier.resolve(&either)
        };
        Node { op: Op::Choose(Box::new(nodes)), ty }
    }
}

/// What a conversion makes of a constant; `None` if it is none, or not of a constant.
fn converted(call: &Call) -> Option<Outcome<'static>> {
    let is_conversion = matches!(
        call.function,
        "bool" | "bytes" | "double" | "duration" | "dyn" | "int" | "string" | "timestamp" | "type" | "uint"
    );
    let [argument] = call.arguments.as_slice() else { return None };
    let value = match &argument.op {
        Op::Constant(value) => value.clone(),
        // What fails further inside was told there.
        Op::Call(inner) => converted(inner)?.ok()?,
        _ => return None,
    };
    let values = [value];
    let overload = call.overloads.iter().find(|overload| overload.accepts(&values));
    is_conversion.then(|| match overload {
        Some(overload) => (overload.run)(&values),
        None => Err(no_overload_of(call.function, &values)),
    })
}

/// The type of a constant, as far as `format` looks at it.
fn type_of(value: &Value<'_>) -> Type {
    match value {
        Value::Null => Type::Null,
        Value::Bool(_) => Type::Bool,
        Value::Int(_) => Type::Int,
        Value::Uint(_) => Type::Uint,
        Value::Double(_) => Type::Double,
        Value::String(_) => Type::String,
        Value::Bytes(_) => Type::Bytes,
        Value::List(_) => Type::list(Type::Dyn),
        Value::Map(_) => Type::map(Type::Dyn, Type::Dyn),
        Value::Type(_) => Type::Type(Arc::new(Type::Dyn)),
        _ => Type::Dyn,
    }
}
