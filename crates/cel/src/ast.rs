//! What the parser makes of a text.

/// An expression. `at` is the character that stands for it in error messages: an operator, a dot, an
/// opening parenthesis, the first character of everything else.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expr {
    pub(crate) at: u32,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Literal(Literal),
    Name(String),
    Select {
        operand: Box<Expr>,
        field: String,
        access: Access,
    },
    /// Functions and operators, the latter by their inner names (`_+_`).
    Call {
        target: Option<Box<Expr>>,
        function: String,
        arguments: Vec<Expr>,
    },
    List(Vec<Item>),
    Map(Vec<Entry>),
    Struct {
        name: String,
        fields: Vec<Field>,
    },
    Fold(Box<Fold>),
}

/// How a field is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Value,
    /// `has(a.b)`
    Presence,
    /// `a.?b`
    Optional,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(String),
    Bytes(Vec<u8>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: Expr,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) at: u32,
    pub(crate) name: String,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

/// A macro over the elements of a list, the entries of a map, or the value of an optional.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fold {
    pub(crate) how: How,
    pub(crate) range: Expr,
    /// Names for the element; with two of them, for index and element or key and value.
    pub(crate) names: Vec<String>,
    pub(crate) filter: Option<Expr>,
    pub(crate) body: Expr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    All,
    Exists,
    ExistsOne,
    /// `map`, `filter` and `transformList`: a list of what the body makes.
    List,
    /// `transformMap`: a map with the same keys.
    Map,
    /// `transformMapEntry`: a map out of the entries that the body makes.
    MapEntry,
    /// `sortBy`: the range in the order of what the body makes.
    SortBy,
    /// `optMap`
    OptMap,
    /// `optFlatMap`
    OptFlatMap,
}
