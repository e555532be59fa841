//! What stands in a YAML document, one thing after the other.
//!
//! The scanner and parser are those of libyaml, of which upstream's library is a translation as well: what is refused,
//! where and in which words is the same. There is no safe binding that tells a plain scalar from a quoted one and an
//! error's kind from its text, both of which matter here.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use unsafe_libyaml as unsafe_yaml;

/// A part of a document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: Kind,
    /// Counted from 0.
    pub(super) line: u64,
    pub(super) anchor: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The beginning or end of a stream or document.
    Frame,
    /// The end of a document.
    DocumentEnd,
    /// The end of all.
    StreamEnd,
    /// What the anchor of this event names.
    Alias,
    Scalar {
        value: String,
        tag: String,
        /// Whether it is plain and has no tag, so that its text says what it is.
        is_plain: bool,
    },
    SequenceStart,
    MappingStart,
    /// The end of a sequence or mapping.
    End,
}

/// Reads the events of a body.
pub(super) struct Events<'a> {
    // By pointer: the parser holds its own address.
    parser: *mut unsafe_yaml::yaml_parser_t,
    body: PhantomData<&'a [u8]>,
}

impl<'a> Events<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        let parser =
            Box::into_raw(Box::<unsafe_yaml::yaml_parser_t>::new_uninit()).cast::<unsafe_yaml::yaml_parser_t>();
        // SAFETY: initializing writes the whole of the parser; the body outlives it, as the lifetime says.
        unsafe {
            // It only fails where there is no memory, which ends the process anyhow.
            let _ = unsafe_yaml::yaml_parser_initialize(parser);
            unsafe_yaml::yaml_parser_set_input_string(parser, body.as_ptr(), body.len() as u64);
        }
        Self { parser, body: PhantomData }
    }

    /// The next event; after an error there is none.
    pub(super) fn next(&mut self) -> Result<Event, String> {
        let mut event = MaybeUninit::<unsafe_yaml::yaml_event_t>::zeroed();
        // SAFETY: the parser was initialized; it writes the event, or leaves it empty where it fails. The event's texts
        // are copied before they are freed with it.
        unsafe {
            let is_over = (&*self.parser).error != unsafe_yaml::YAML_NO_ERROR;
            if is_over || unsafe_yaml::yaml_parser_parse(self.parser, event.as_mut_ptr()).fail {
                return Err(self.problem());
            }
            let copied = copied(&*event.as_ptr());
            unsafe_yaml::yaml_event_delete(event.as_mut_ptr());
            Ok(copied)
        }
    }

    /// What is wrong, as upstream words it: the line is told where it is not the first.
    fn problem(&self) -> String {
        // SAFETY: the parser was initialized, and nobody else looks at it.
        let parser = unsafe { &*self.parser };
        let line = match parser.problem_mark.line {
            0 => parser.context_mark.line,
            line => line + u64::from(parser.error == unsafe_yaml::YAML_SCANNER_ERROR),
        };
        // SAFETY: problems are constants of the library, which end with a zero.
        let problem = unsafe { text(parser.problem.cast()) };
        let problem = problem.unwrap_or_else(|| "unknown problem parsing YAML content".into());
        if line == 0 { format!("yaml: {problem}") } else { format!("yaml: line {line}: {problem}") }
    }
}

impl Drop for Events<'_> {
    fn drop(&mut self) {
        // SAFETY: it was initialized, came out of a box, and is not used any more.
        unsafe {
            unsafe_yaml::yaml_parser_delete(self.parser);
            drop(Box::from_raw(self.parser));
        }
    }
}

/// # Safety
/// The event is one that the parser wrote.
unsafe fn copied(event: &unsafe_yaml::yaml_event_t) -> Event {
    // SAFETY: the type of the event says which of its data are there, and its texts end with a zero.
    let (kind, anchor) = unsafe {
        match event.type_ {
            unsafe_yaml::YAML_ALIAS_EVENT => (Kind::Alias, text(event.data.alias.anchor)),
            unsafe_yaml::YAML_SCALAR_EVENT => {
                let scalar = &event.data.scalar;
                let length = usize::try_from(scalar.length).unwrap_or_default();
                let value = std::slice::from_raw_parts(scalar.value, length);
                let value = String::from_utf8_lossy(value).into_owned();
                let tag = text(scalar.tag).unwrap_or_default();
                (Kind::Scalar { value, tag, is_plain: scalar.plain_implicit }, text(scalar.anchor))
            }
            unsafe_yaml::YAML_SEQUENCE_START_EVENT => (Kind::SequenceStart, text(event.data.sequence_start.anchor)),
            unsafe_yaml::YAML_MAPPING_START_EVENT => (Kind::MappingStart, text(event.data.mapping_start.anchor)),
            unsafe_yaml::YAML_SEQUENCE_END_EVENT | unsafe_yaml::YAML_MAPPING_END_EVENT => (Kind::End, None),
            unsafe_yaml::YAML_DOCUMENT_END_EVENT => (Kind::DocumentEnd, None),
            unsafe_yaml::YAML_STREAM_END_EVENT | unsafe_yaml::YAML_NO_EVENT => (Kind::StreamEnd, None),
            _ => (Kind::Frame, None),
        }
    };
    Event { kind, line: event.start_mark.line, anchor }
}

/// # Safety
/// The text is nothing, or ends with a zero.
unsafe fn text(start: *const u8) -> Option<String> {
    // SAFETY: as the caller says.
    (!start.is_null()).then(|| unsafe { CStr::from_ptr(start.cast()) }.to_string_lossy().into_owned())
}
