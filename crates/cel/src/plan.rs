//! An expression, checked and ready to be evaluated.

use std::sync::Arc;

use regex::Regex;

use crate::ast::{Access, How};
use crate::functions::Overload;
use crate::types::Type;
use crate::value::Value;

/// An expression with its type.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) op: Op,
    pub(crate) ty: Type,
}

#[derive(Debug)]
pub(crate) enum Op {
    Constant(Value<'static>),
    Variable(Arc<str>),
    /// A variable of a macro, by its place on the stack.
    Local(usize),
    Select {
        operand: Box<Node>,
        field: Arc<str>,
        access: Access,
    },
    And(Vec<Node>),
    Or(Vec<Node>),
    Choose(Box<[Node; 3]>),
    /// `or` and `orValue`: the second is looked at only if the first has no value.
    Otherwise {
        first: Box<Node>,
        second: Box<Node>,
        unwrap: bool,
    },
    Call(Call),
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Struct {
        name: Arc<str>,
        fields: Vec<(Arc<str>, Node, bool)>,
    },
    /// `cel.bind`: a value that is named, and what is made of it.
    Bind(Box<[Node; 2]>),
    Fold(Box<FoldNode>),
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) function: &'static str,
    /// Those that the types allow; which one it is shows when the values are there.
    pub(crate) overloads: Vec<&'static Overload>,
    pub(crate) arguments: Vec<Node>,
    /// A regular expression that is a constant.
    pub(crate) pattern: Option<Regex>,
}

#[derive(Debug)]
pub(crate) struct FoldNode {
    pub(crate) how: How,
    pub(crate) range: Node,
    /// How many variables it has.
    pub(crate) variables: usize,
    pub(crate) filter: Option<Node>,
    pub(crate) body: Node,
}
