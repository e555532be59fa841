//! Which fields of a variable a text reads by name.

use crate::ast::{Expr, Kind};
use crate::parser;

/// Whether an expression reads a field of a variable: `variable.field`, `variable.?field` or `has(variable.field)`. A
/// text that is no expression reads nothing.
pub fn selects(text: &str, variable: &str, field: &str) -> bool {
    parser::parse(text).is_ok_and(|expression| Wanted { variable, field }.is_in(&expression))
}

struct Wanted<'a> {
    variable: &'a str,
    field: &'a str,
}

impl Wanted<'_> {
    fn is_variable(&self, expression: &Expr) -> bool {
        matches!(&expression.kind, Kind::Name(name) if name == self.variable)
    }

    fn is_in(&self, expression: &Expr) -> bool {
        match &expression.kind {
            Kind::Literal(_) | Kind::Name(_) => false,
            Kind::Select { operand, field, .. } => {
                field == self.field && self.is_variable(operand) || self.is_in(operand)
            }
            Kind::Call { target, arguments, .. } => {
                target.iter().any(|target| self.is_in(target)) || arguments.iter().any(|argument| self.is_in(argument))
            }
            Kind::List(items) => items.iter().any(|item| self.is_in(&item.value)),
            Kind::Map(entries) => entries.iter().any(|entry| self.is_in(&entry.key) || self.is_in(&entry.value)),
            Kind::Struct { fields, .. } => fields.iter().any(|field| self.is_in(&field.value)),
            Kind::Fold(fold) => {
                self.is_in(&fold.range) || fold.filter.iter().any(|filter| self.is_in(filter)) || self.is_in(&fold.body)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_wherever_they_are_read() {
        for (text, expected) in [
            ("claims.email", true),
            ("claims.?email.orValue('')", true),
            ("has(claims.email)", true),
            ("[1].exists(x, string(x) == claims.email)", true),
            ("{'a': claims.email.size()}", true),
            ("claims.sub", false),
            ("claims.other.email", false),
            ("user.email", false),
            ("claims.", false),
        ] {
            assert_eq!(selects(text, "claims", "email"), expected, "{text}");
        }
    }
}
