//! Field paths that cost nothing until something is wrong, and the collector of what is.

use portolan_api::field::{Error, ErrorType, Path, Shown};

/// Where a validator stands in an object; becomes a [`Path`] only for an error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> At<'a> {
    pub(crate) const fn root(field: &'a str) -> Self {
        Self { parent: None, step: Step::Field(field) }
    }

    /// The object as a whole: upstream's path without a name reads so.
    pub(crate) const fn whole() -> Self {
        Self::root("[]")
    }

    pub(crate) const fn child(&'a self, field: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Field(field) }
    }

    pub(crate) const fn index(&'a self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index) }
    }

    pub(crate) const fn key(&'a self, key: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Key(key) }
    }

    pub(crate) fn path(&self) -> Path {
        let parent = self.parent.map(At::path).unwrap_or_default();
        match self.step {
            Step::Field(field) => parent.child(field),
            Step::Index(index) => parent.index(index),
            Step::Key(key) => parent.key(key),
        }
    }
}

/// The errors found so far.
#[derive(Debug, Default)]
pub(crate) struct Errors(pub(crate) Vec<Error>);

impl Errors {
    /// Nothing, or what is wrong.
    pub(crate) fn into_result(self) -> Result<(), Vec<Error>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }

    pub(crate) fn required(&mut self, at: &At<'_>, detail: impl Into<String>) {
        self.0.push(Error::required(&at.path(), detail));
    }

    pub(crate) fn invalid(&mut self, at: &At<'_>, value: impl Into<Shown>, detail: impl Into<String>) {
        self.0.push(Error::invalid(&at.path(), value, detail));
    }

    pub(crate) fn internal(&mut self, at: &At<'_>, detail: impl Into<String>) {
        self.0.push(Error::internal(&at.path(), detail));
    }

    pub(crate) fn not_supported(&mut self, at: &At<'_>, value: impl Into<Shown>, supported: &[&str]) {
        self.0.push(Error::not_supported(&at.path(), value, supported));
    }

    /// The same with the values in the given order.
    pub(crate) fn not_supported_as_listed(&mut self, at: &At<'_>, value: impl Into<Shown>, supported: &[&str]) {
        self.0.push(Error::not_supported_as_listed(&at.path(), value, supported));
    }

    pub(crate) fn duplicate(&mut self, at: &At<'_>, value: impl Into<Shown>) {
        self.0.push(Error::duplicate(&at.path(), value));
    }

    pub(crate) fn forbidden(&mut self, at: &At<'_>, detail: impl Into<String>) {
        self.0.push(Error::forbidden(&at.path(), detail));
    }

    pub(crate) fn not_found(&mut self, at: &At<'_>, value: impl Into<Shown>) {
        self.0.push(Error::not_found(&at.path(), value));
    }

    /// More items than the limit.
    pub(crate) fn too_many(&mut self, at: &At<'_>, count: usize, limit: usize) {
        let detail = format!("must have at most {limit} item{}", if limit == 1 { "" } else { "s" });
        let value = count.into();
        self.0.push(Error { error_type: ErrorType::TooMany, path: at.path(), value, detail });
    }

    pub(crate) fn too_long(&mut self, at: &At<'_>, limit: usize) {
        self.0.push(Error::too_long(&at.path(), limit));
    }
}
