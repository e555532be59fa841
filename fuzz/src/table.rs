//! Columns that a definition names: paths of any form, found in and written into any object.

use portolan_api::custom::{Column, JsonPath, cell};

use crate::two;

const TYPES: [&str; 6] = ["boolean", "date", "integer", "number", "string", ""];

pub(crate) fn run(input: &[u8]) {
    let Some((text, object)) = two(input) else { return };
    let (Ok(path), Ok(mut object)) = (JsonPath::parse(text), serde_json::from_str::<serde_json::Value>(object)) else {
        return;
    };
    let found = path.find(&object);
    assert_eq!(path.first(&object), found.first().copied());
    let rows = TYPES.map(|value_type| {
        let column = Column {
            name: "C".into(),
            value_type: value_type.into(),
            format: String::new(),
            description: String::new(),
            priority: 0,
            path: path.clone(),
        };
        cell(&column, &object, |time| (time.len() < 30).then(|| time.to_owned()))
    });
    for cell in rows {
        assert!(!cell.is_array() && !cell.is_object(), "a cell is no structure: {cell}");
    }
    let _ = path.fields();
    if path.set(&mut object, 5.into()) {
        assert_eq!(path.first(&object), Some(&5.into()));
    }
}
