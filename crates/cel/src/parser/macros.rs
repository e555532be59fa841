//! Calls that are no functions: their arguments are not values.

use super::Parsed;
use crate::ast::{Access, Expr, Fold, How, Kind};
use crate::lexer::Problem;

/// A call, or the macro that it stands for.
pub(super) fn expand(at: u32, target: Option<Expr>, function: String, mut arguments: Vec<Expr>) -> Parsed<Expr> {
    let Some(target) = target else {
        if function == "has" && arguments.len() == 1 {
            return has(at, arguments.remove(0));
        }
        return Ok(Expr::new(at, Kind::Call { target: None, function, arguments }));
    };
    let Some(shape) = shape(&function, arguments.len()) else {
        return Ok(Expr::new(at, Kind::Call { target: Some(Box::new(target)), function, arguments }));
    };
    let mut rest = arguments.split_off(shape.names);
    let mut names = Vec::new();
    for (index, argument) in arguments.into_iter().enumerate() {
        match argument.kind {
            // Upstream keeps its own variables under this name.
            Kind::Name(name) if name != "__result__" && !names.contains(&name) => names.push(name),
            Kind::Name(name) => {
                let message = match name.as_str() {
                    "__result__" => "iteration variable overwrites accumulator variable".to_owned(),
                    _ => format!("duplicate variable name: {name}"),
                };
                return Err(Problem::at(argument.at, message));
            }
            _ => {
                let message = match (shape.how, shape.names, index) {
                    (How::OptMap, ..) => "optMap() variable name must be a simple identifier",
                    (How::SortBy, ..) => "argument is not an identifier",
                    (How::OptFlatMap, ..) => "optFlatMap() variable name must be a simple identifier",
                    (_, 1, _) => "argument must be a simple name",
                    (_, _, 0) => "argument must be a simple name",
                    _ => "second argument must be a simple name",
                };
                return Err(Problem::at(argument.at, message));
            }
        }
    }
    let body = rest.pop().ok_or_else(|| Problem::at(at, format!("{function}() needs a body")))?;
    let filter = rest.pop();
    let (filter, body) = match function.as_str() {
        // The elements themselves, if the condition holds.
        "filter" => (Some(body), Expr::new(at, Kind::Name(names[0].clone()))),
        _ => (filter, body),
    };
    Ok(Expr::new(at, Kind::Fold(Box::new(Fold { how: shape.how, range: target, names, filter, body }))))
}

struct Shape {
    how: How,
    names: usize,
}

fn shape(function: &str, arguments: usize) -> Option<Shape> {
    let shape = |how, names| Some(Shape { how, names });
    match (function, arguments) {
        ("all", 2) => shape(How::All, 1),
        ("all", 3) => shape(How::All, 2),
        ("exists", 2) => shape(How::Exists, 1),
        ("exists", 3) => shape(How::Exists, 2),
        ("exists_one", 2) => shape(How::ExistsOne, 1),
        ("existsOne" | "exists_one", 3) => shape(How::ExistsOne, 2),
        ("map", 2 | 3) | ("filter", 2) => shape(How::List, 1),
        ("sortBy", 2) => shape(How::SortBy, 1),
        ("transformList", 3 | 4) => shape(How::List, 2),
        ("transformMap", 3 | 4) => shape(How::Map, 2),
        ("transformMapEntry", 3 | 4) => shape(How::MapEntry, 2),
        ("optMap", 2) => shape(How::OptMap, 1),
        ("optFlatMap", 2) => shape(How::OptFlatMap, 1),
        _ => None,
    }
}

/// What is wrong with the field is told of the call, which stands for it.
fn has(at: u32, argument: Expr) -> Parsed<Expr> {
    match argument.kind {
        Kind::Select { operand, field, access: Access::Value } => {
            Ok(Expr { at, kind: Kind::Select { operand, field, access: Access::Presence }, ..argument })
        }
        _ => Err(Problem::at(argument.at, "invalid argument to has() macro")),
    }
}
