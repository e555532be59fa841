//! Refusals because others own a field.

use std::fmt;

use super::fields::FieldSet;

/// One field that another manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The owner: `"kubectl" using apps/v1`.
    pub manager: String,
    /// The field: `.spec.replicas`.
    pub field: String,
    /// Its elements.
    path: Vec<String>,
}

impl Conflict {
    pub(super) fn new(manager: String, field: String, path: Vec<String>) -> Self {
        Self { manager, field, path }
    }

    /// The message of the Status cause whose reason is `FieldManagerConflict`.
    pub fn message(&self) -> String {
        format!("conflict with {}", self.manager)
    }

    /// Whether the field is in a set.
    pub(super) fn is_in(&self, set: &FieldSet<'_>) -> bool {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        set.has(&path)
    }
}

/// All fields that other managers own, ordered by manager and field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conflicts(pub Vec<Conflict>);

impl Conflicts {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Conflicts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [conflict] = &self.0[..] {
            return write!(formatter, "Apply failed with 1 conflict: {}: {}", conflict.message(), conflict.field);
        }
        write!(formatter, "Apply failed with {} conflicts: ", self.0.len())?;
        let mut manager = None;
        for (index, conflict) in self.0.iter().enumerate() {
            if manager != Some(&conflict.manager) {
                manager = Some(&conflict.manager);
                let separator = if index == 0 { "" } else { "\n" };
                write!(formatter, "{separator}conflicts with {}:", conflict.manager)?;
            }
            write!(formatter, "\n- {}", conflict.field)?;
        }
        Ok(())
    }
}
