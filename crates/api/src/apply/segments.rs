//! Elements in the order in which upstream writes them.

use std::ops::Range;

use super::paths::Paths;

/// Elements of one level that are written, in whatever order they came.
pub(super) struct Segments<'k> {
    written: Vec<(&'k str, Range<usize>)>,
}

impl<'k> Segments<'k> {
    /// With room for so many.
    pub(super) fn with_capacity(elements: usize) -> Self {
        Self { written: Vec::with_capacity(elements) }
    }

    /// Notes what was written from `start` on for an element, if anything was.
    pub(super) fn add(&mut self, element: &'k str, start: usize, paths: &Paths) {
        let end = paths.bytes.len();
        if end > start {
            self.written.push((element, start + usize::from(paths.bytes[start] == b',')..end));
        }
    }

    /// `None` if an element was written twice.
    pub(super) fn put_in_order(mut self, paths: &mut Paths) -> Option<()> {
        let Some(first) = self.written.first().map(|(_, range)| range.start) else { return Some(()) };
        let is_before = |(one, _): &(&str, _), (other, _): &(&str, _)| one < other;
        if self.written.is_sorted_by(is_before) {
            return Some(());
        }
        self.written.sort_by_key(|(element, _)| *element);
        if !self.written.is_sorted_by(is_before) {
            return None;
        }
        // Written once more behind themselves, in their order.
        let bytes = &mut paths.bytes;
        let end = bytes.len();
        for (index, (_, range)) in self.written.into_iter().enumerate() {
            if index > 0 {
                bytes.push(b',');
            }
            bytes.extend_from_within(range);
        }
        bytes.copy_within(end.., first);
        bytes.truncate(end);
        Some(())
    }
}
