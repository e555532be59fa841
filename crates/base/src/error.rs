//! Error texts with their causes.

use std::error::Error;
use std::fmt;

/// Displays an error followed by each of its causes, separated by `: `.
///
/// Error types in this project do not repeat their source in their own text, so this is the one
/// place where the whole chain becomes a line.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> Chain<'a> {
    Chain(error)
}

/// The display form made by [`chain`].
pub struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("read configuration")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn shows_every_cause_once() {
        let error = Outer(std::io::Error::other("disk gone"));
        assert_eq!(chain(&error).to_string(), "read configuration: disk gone");
    }
}
