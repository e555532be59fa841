//! Which types may stand for which.

use crate::plan::{FoldNode, Node, Op};
use crate::types::Type;

/// What is known about type variables.
#[derive(Debug, Default, Clone)]
pub(super) struct Unifier {
    bound: Vec<Option<Type>>,
}

impl Unifier {
    /// A type that is not known yet.
    pub(super) fn fresh(&mut self) -> Type {
        self.bound.push(None);
        Type::Variable(self.bound.len() as u32 - 1)
    }

    /// A signature with variables of its own.
    pub(super) fn instance(&mut self, types: &[&Type]) -> Vec<Type> {
        let base = self.bound.len() as u32;
        self.bound.push(None);
        self.bound.push(None);
        types.iter().map(|ty| ty.replace(&|index| Type::Variable(base + index))).collect()
    }

    /// A type with what is known put in. Variables that are not known stay.
    pub(super) fn resolve(&self, ty: &Type) -> Type {
        match ty {
            Type::Variable(index) => match self.bound.get(*index as usize) {
                Some(Some(known)) => self.resolve(known),
                _ => ty.clone(),
            },
            Type::List(element) => Type::list(self.resolve(element)),
            Type::Optional(inner) => Type::optional(self.resolve(inner)),
            Type::Type(inner) => Type::Type(std::sync::Arc::new(self.resolve(inner))),
            Type::Map(pair) => Type::map(self.resolve(&pair.0), self.resolve(&pair.1)),
            other => other.clone(),
        }
    }

    /// A type for messages: what is not known is `dyn`.
    pub(super) fn show(&self, ty: &Type) -> Type {
        self.resolve(ty).replace(&|_| Type::Dyn)
    }

    /// Whether all of these values can be used as these arguments. Remembers what follows from it only if so.
    pub(super) fn assign_all(&mut self, wanted: &[Type], given: &[Type]) -> bool {
        let before = self.bound.clone();
        let fits =
            wanted.len() == given.len() && wanted.iter().zip(given).all(|(wanted, given)| self.unify(wanted, given));
        if !fits {
            self.bound = before;
        }
        fits
    }

    /// Whether a value of one type can be used as one of another.
    pub(super) fn assign(&mut self, wanted: &Type, given: &Type) -> bool {
        self.assign_all(std::slice::from_ref(wanted), std::slice::from_ref(given))
    }

    fn unify(&mut self, wanted: &Type, given: &Type) -> bool {
        let (wanted, given) = (self.resolve(wanted), self.resolve(given));
        match (&wanted, &given) {
            (Type::Variable(left), Type::Variable(right)) if left == right => true,
            (Type::Variable(index), other) | (other, Type::Variable(index)) => {
                if other.mentions(*index) {
                    return false;
                }
                self.bound[*index as usize] = Some(other.clone());
                true
            }
            (left, right) if left.is_dyn() || right.is_dyn() => true,
            (Type::Null, other) | (other, Type::Null) => other.is_nullable(),
            (Type::List(left), Type::List(right)) | (Type::Optional(left), Type::Optional(right)) => {
                self.unify(left, right)
            }
            (Type::Map(left), Type::Map(right)) => self.unify(&left.0, &right.0) && self.unify(&left.1, &right.1),
            // Types of objects have their places as names: one that is the same elsewhere is another one.
            (Type::Object(left), Type::Object(right)) => std::sync::Arc::ptr_eq(left, right),
            // What they are types of does not matter.
            (Type::Type(_), Type::Type(_)) => true,
            (left, right) => left == right,
        }
    }

    /// Puts final types into a plan.
    pub(super) fn finish(&self, node: &mut Node) {
        node.ty = self.show(&node.ty);
        match &mut node.op {
            Op::Constant(_) | Op::Variable(_) | Op::Local(_) => {}
            Op::Select { operand, .. } => self.finish(operand),
            Op::And(nodes) | Op::Or(nodes) => nodes.iter_mut().for_each(|node| self.finish(node)),
            Op::Choose(nodes) => nodes.iter_mut().for_each(|node| self.finish(node)),
            Op::Bind(nodes) => nodes.iter_mut().for_each(|node| self.finish(node)),
            Op::Otherwise { first, second, .. } => {
                self.finish(first);
                self.finish(second);
            }
            Op::Call(call) => call.arguments.iter_mut().for_each(|node| self.finish(node)),
            Op::List(items) => items.iter_mut().for_each(|(node, _)| self.finish(node)),
            Op::Map(entries) => entries.iter_mut().for_each(|(key, value, _)| {
                self.finish(key);
                self.finish(value);
            }),
            Op::Struct { fields, .. } => fields.iter_mut().for_each(|(_, node, _)| self.finish(node)),
            Op::Fold(fold) => {
                let FoldNode { range, filter, body, .. } = &mut **fold;
                self.finish(range);
                self.finish(body);
                if let Some(filter) = filter {
                    self.finish(filter);
                }
            }
        }
    }
}
