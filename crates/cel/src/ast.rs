//! What the parser makes of a text.

/// An expression. `at` is the character that stands for it in error messages: an operator, a dot, an
/// opening parenthesis, the first character of everything else.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expr {
    pub(crate) at: u32,
    pub(crate) kind: Kind,
    /// How many operators, choices, fields, indexes and calls of members lie within each other, which are what upstream
    /// counts.
    pub(crate) depth: usize,
}

impl Expr {
    /// An expression that is as deep as its deepest part.
    pub(crate) fn new(at: u32, kind: Kind) -> Self {
        let depth = kind.depth();
        Self { at, kind, depth }
    }
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

impl Kind {
    fn depth(&self) -> usize {
        fn deepest<'e>(parts: impl IntoIterator<Item = &'e Expr>) -> usize {
            parts.into_iter().map(|part| part.depth).max().unwrap_or_default()
        }
        match self {
            Self::Literal(_) | Self::Name(_) => 0,
            Self::Select { operand, .. } => operand.depth,
            Self::Call { target, arguments, .. } => deepest(target.as_deref().into_iter().chain(arguments)),
            Self::List(items) => deepest(items.iter().map(|item| &item.value)),
            Self::Map(entries) => deepest(entries.iter().flat_map(|entry| [&entry.key, &entry.value])),
            Self::Struct { fields, .. } => deepest(fields.iter().map(|field| &field.value)),
            Self::Fold(fold) => deepest([&fold.range, &fold.body].into_iter().chain(&fold.filter)),
        }
    }
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
