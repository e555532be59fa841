//! The fields of a definition, found by name.

use std::ops::Deref;

use super::schema::Field;

/// Fields, sorted by name.
///
/// Every walk along a schema looks up every name, so the beginnings of the names stand together as numbers: a
/// search among those touches one or two cache lines, and one text is compared at the end of it.
#[derive(Debug, Default)]
pub struct Fields {
    all: Vec<Field>,
    starts: Vec<u64>,
}

impl Fields {
    /// A field by its name.
    pub fn get(&self, name: &str) -> Option<&Field> {
        let start = start(name);
        let first = self.starts.partition_point(|other| *other < start);
        let same_start = self.starts[first..].iter().take_while(|other| **other == start);
        self.all[first..].iter().zip(same_start).map(|(field, _)| field).find(|field| field.name == name)
    }
}

impl Fields {
    /// A field by its name, to say more of it.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Field> {
        let place = self.all.binary_search_by(|field| (*field.name).cmp(name)).ok()?;
        Some(&mut self.all[place])
    }
}

impl From<Vec<Field>> for Fields {
    fn from(mut all: Vec<Field>) -> Self {
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Self { starts: all.iter().map(|field| start(&field.name)).collect(), all }
    }
}

impl Deref for Fields {
    type Target = [Field];

    fn deref(&self) -> &[Field] {
        &self.all
    }
}

/// The first bytes of a name, as a number that sorts as they do.
fn start(name: &str) -> u64 {
    let mut bytes = [0; 8];
    let length = name.len().min(8);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use crate::description::builtin;

    #[test]
    fn every_field_is_found_by_its_name_and_no_other() {
        for definition in builtin().definitions() {
            for field in definition.fields.iter() {
                let found = definition.fields.get(&field.name).expect("it is there");
                assert!(std::ptr::eq(found, field), "{}.{}", definition.name, field.name);
                for other in [&field.name[..field.name.len() - 1], &format!("{}x", field.name), ""] {
                    let expected = definition.fields.iter().find(|field| field.name == other);
                    let found = definition.fields.get(other);
                    assert_eq!(found.map(|it| &it.name), expected.map(|it| &it.name), "{}.{other}", definition.name);
                }
            }
        }
    }
}
