//! Macros over lists, maps and optional values.

use super::{Checker, Variable};
use crate::ast::{Expr, Fold, How, Kind};
use crate::functions::Style;
use crate::lexer::Problem;
use crate::plan::{FoldNode, Node, Op};
use crate::types::Type;

impl<'a> Checker<'a> {
    /// `cel.bind(name, value, body)`
    pub(super) fn bind(&mut self, name: &'a Expr, value: &'a Expr, body: &'a Expr) -> Node {
        let Kind::Name(variable) = &name.kind else {
            return self.report(name.at, "cel.bind() variable names must be simple identifiers".to_owned());
        };
        let deepest = std::mem::replace(&mut self.deepest, self.depth);
        let value = self.expression(value);
        let depth = self.deepest - self.depth;
        self.deepest = self.deepest.max(deepest);
        self.scope.push(Variable { name: variable, ty: value.ty.clone(), depth });
        let body = self.expression(body);
        self.scope.pop();
        let ty = body.ty.clone();
        Node { op: Op::Bind(Box::new([value, body])), ty }
    }

    pub(super) fn fold(&mut self, at: u32, fold: &'a Fold) -> Node {
        let range = self.expression(&fold.range);
        let range_type = self.unifier.resolve(&range.ty);
        let (key, value) = match &range_type {
            _ if matches!(fold.how, How::OptMap | How::OptFlatMap) => match &range_type {
                Type::Optional(inner) => (Type::Int, (**inner).clone()),
                ty if ty.is_dyn() => (Type::Int, Type::Dyn),
                _ => {
                    let message = self.no_match("hasValue", Style::Member, &[range_type]);
                    return self.report(fold.range.at, message);
                }
            },
            Type::List(element) => (Type::Int, (**element).clone()),
            Type::Map(pair) => (pair.0.clone(), pair.1.clone()),
            Type::Dyn | Type::Error | Type::Variable(_) => (Type::Dyn, Type::Dyn),
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                return self.report(fold.range.at, message);
            }
        };
        let is_map = matches!(range_type, Type::Map(_));
        let depth = self.scope.len();
        let variable = |name: &'a str, ty: &Type| Variable { name, ty: ty.clone(), depth: 0 };
        match fold.names.as_slice() {
            [name] => self.scope.push(variable(name, if is_map { &key } else { &value })),
            [first, second] => self.scope.extend([variable(first, &key), variable(second, &value)]),
            _ => {}
        }
        let filter = fold.filter.as_ref().map(|filter| self.expression(filter));
        let body = self.expression(&fold.body);
        self.scope.truncate(depth);
        let is_passed = filter.as_ref().is_none_or(|filter| self.unifier.assign(&Type::Bool, &filter.ty));
        if let (false, Some(filter)) = (is_passed, &filter) {
            let step = match fold.how {
                How::Map | How::MapEntry => self.fold_type(fold, &body, &range_type, key),
                _ => Ok(Type::list(body.ty.clone())),
            };
            let given = match step {
                Ok(ty) => [filter.ty.clone(), ty.clone(), ty],
                Err(message) => {
                    self.problems.push(Problem::at(at, message));
                    [filter.ty.clone(), Type::Error, Type::map(Type::Dyn, Type::Dyn)]
                }
            };
            let message = self.no_match("_?_:_", Style::Global, &given);
            return self.report(at, message);
        }
        let ty = match self.fold_type(fold, &body, &range_type, key) {
            Ok(ty) => ty,
            Err(message) => {
                let is_step = matches!(fold.how, How::All | How::Exists);
                return self.report(if is_step { fold.body.at } else { at }, message);
            }
        };
        let variables = fold.names.len();
        Node { op: Op::Fold(Box::new(FoldNode { how: fold.how, range, variables, filter, body })), ty }
    }

    fn fold_type(&mut self, fold: &Fold, body: &Node, range: &Type, key: Type) -> Result<Type, String> {
        let is_bool = self.unifier.assign(&Type::Bool, &body.ty);
        match fold.how {
            How::All | How::Exists | How::ExistsOne if is_bool => Ok(Type::Bool),
            How::All | How::Exists => Err(format!("expected type 'bool' but found '{}'", self.unifier.show(&body.ty))),
            How::ExistsOne => Err(self.no_match("_?_:_", Style::Global, &[body.ty.clone(), Type::Int, Type::Int])),
            How::List => Ok(Type::list(body.ty.clone())),
            How::Map => Ok(Type::map(if matches!(range, Type::List(_)) { Type::Int } else { key }, body.ty.clone())),
            How::MapEntry => match self.unifier.resolve(&body.ty) {
                ty @ Type::Map(_) => Ok(ty),
                ty if ty.is_dyn() => Ok(Type::map(Type::Dyn, Type::Dyn)),
                other => Err(self.no_match("cel.@mapInsert", Style::Global, &[Type::map(Type::Dyn, Type::Dyn), other])),
            },
            How::SortBy => match self.unifier.resolve(&body.ty) {
                Type::Int | Type::Uint | Type::Double | Type::Bool | Type::String | Type::Bytes => Ok(range.clone()),
                Type::Duration | Type::Timestamp | Type::Variable(_) => Ok(range.clone()),
                ty if ty.is_dyn() => Ok(range.clone()),
                other => {
                    let given = [range.clone(), Type::list(other)];
                    Err(self.no_match("@sortByAssociatedKeys", Style::Member, &given))
                }
            },
            How::OptMap => Ok(Type::optional(body.ty.clone())),
            How::OptFlatMap => match self.unifier.resolve(&body.ty) {
                ty @ Type::Optional(_) => Ok(ty),
                ty if ty.is_dyn() => Ok(Type::optional(Type::Dyn)),
                other => {
                    let unknown = Type::optional(Type::Dyn);
                    Err(self.no_match("_?_:_", Style::Global, &[Type::Bool, other, unknown]))
                }
            },
        }
    }
}
