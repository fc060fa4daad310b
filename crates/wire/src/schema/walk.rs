//! The walk along a schema: refuses whatever would make the message library over-allocate, panic or misread.
//!
//! Invariant: a body that passes decodes with at most the memory budget on the heap and without bytes left over.

use super::{Field, Kind, Schema};
use crate::error::DecodeError;
use crate::reader::Reader;

/// What decoding a body of `body_bytes` may allocate, in bytes.
pub(crate) fn memory_budget(body_bytes: usize) -> usize {
    body_bytes.saturating_mul(4).saturating_add(64 * 1024)
}

/// What an array element that is text takes: a handle on the frame's bytes.
const TEXT_MEMORY: usize = size_of::<kafka_protocol::protocol::StrBytes>();
/// What the map of unknown tagged fields takes for its first entry, and for each.
const TAG_MAP_MEMORY: usize = 512;
const TAG_MEMORY: usize = 128;

/// Structs in one request, at most: no client comes near, and a handler may need some hundred bytes for each.
const ELEMENTS_MAX: usize = 250_000;

/// Counts down the memory, and the structs, that a body may still take.
pub(crate) struct Budget {
    limit: usize,
    left: usize,
    elements_left: usize,
}

/// Where the array lies that is read element by element.
#[derive(Debug, Default)]
pub(crate) struct Extent {
    /// Where its count begins.
    pub(crate) start: usize,
    /// Where its first element begins.
    pub(crate) elements: usize,
    /// Where it ends.
    pub(crate) end: usize,
    /// How many elements it has; `None`: it is null.
    pub(crate) count: Option<usize>,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            left: limit,
            elements_left: ELEMENTS_MAX,
        }
    }

    /// Charges structs of so many bytes each.
    pub(crate) fn charge_structs(
        &mut self,
        field: &'static str,
        count: usize,
        each: usize,
    ) -> Result<(), DecodeError> {
        let left = self.elements_left.checked_sub(count);
        self.elements_left = left.ok_or(DecodeError::Elements {
            field,
            limit: ELEMENTS_MAX,
        })?;
        self.charge(field, count.saturating_mul(each))
    }

    pub(crate) fn charge(&mut self, field: &'static str, bytes: usize) -> Result<(), DecodeError> {
        self.left = self.left.checked_sub(bytes).ok_or(DecodeError::Memory {
            field,
            limit: self.limit,
        })?;
        Ok(())
    }
}

impl Schema {
    /// Walks a whole body.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub(crate) fn check(&self, version: i16, body: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(body);
        // The frame itself becomes shared when its first slice is taken: one small allocation.
        let mut budget = Budget::new(memory_budget(body.len()).saturating_sub(256));
        self.walk(version, &mut reader, &mut budget, None)?;
        reader.finish()
    }

    /// Walks a whole body whose array `field` is going to be decoded element by element: its elements share their
    /// memory. Gives where the array lies.
    ///
    /// # Errors
    /// The first rule that the body breaks.
    pub(crate) fn check_split(&self, version: i16, body: &[u8], field: &str) -> Result<Extent, DecodeError> {
        let mut reader = Reader::new(body);
        let mut budget = Budget::new(memory_budget(body.len()).saturating_sub(256));
        let mut extent = Extent::default();
        self.walk(version, &mut reader, &mut budget, Some((field, &mut extent)))?;
        reader.finish()?;
        Ok(extent)
    }

    /// True when lengths are varints in this version.
    pub(crate) fn is_compact(&self, version: i16) -> bool {
        version >= self.flexible_from
    }

    fn walk(
        &self,
        version: i16,
        reader: &mut Reader<'_>,
        budget: &mut Budget,
        mut split: Option<(&str, &mut Extent)>,
    ) -> Result<(), DecodeError> {
        let compact = self.is_compact(version);
        for field in self
            .fields
            .iter()
            .filter(|field| field.from <= version && version <= field.to)
        {
            let extent = match &mut split {
                Some((name, extent)) if *name == field.name => Some(&mut **extent),
                _ => None,
            };
            field.walk(version, compact, reader, budget, extent)?;
        }
        if compact {
            unknown_tags(reader, budget)
        } else {
            Ok(())
        }
    }

    /// Walks elements that are decoded one at a time: each may use the memory that the one before has given back.
    fn walk_elements(
        &self,
        version: i16,
        reader: &mut Reader<'_>,
        budget: &mut Budget,
        name: &'static str,
        extent: &mut Extent,
    ) -> Result<(), DecodeError> {
        let count = extent.count.unwrap_or(0);
        extent.elements = reader.position();
        budget.charge_structs(name, count, 0)?;
        for _ in 0..count {
            let left = budget.left;
            self.walk(version, reader, budget, None)?;
            budget.left = left;
        }
        extent.end = reader.position();
        Ok(())
    }

    /// The fewest bytes that one element takes on the wire in this version.
    fn bytes_min(&self, version: i16) -> usize {
        let compact = version >= self.flexible_from;
        let length = |old: usize| if compact { 1 } else { old };
        let fields = self
            .fields
            .iter()
            .filter(|field| field.from <= version && version <= field.to);
        let fields: usize = fields
            .map(|field| match &field.kind {
                Kind::Fixed(bytes) => *bytes,
                Kind::Text => length(2),
                Kind::Blob | Kind::Fixeds(_) | Kind::Texts | Kind::Structs(_) => length(4),
                Kind::Optional(_) => 1,
            })
            .sum();
        fields + usize::from(compact)
    }
}

impl Field {
    /// Walks one field; `extent` is for the array that is going to be decoded element by element.
    fn walk(
        &self,
        version: i16,
        compact: bool,
        reader: &mut Reader<'_>,
        budget: &mut Budget,
        extent: Option<&mut Extent>,
    ) -> Result<(), DecodeError> {
        let (name, nullable) = (self.name, self.nullable);
        match &self.kind {
            Kind::Fixed(bytes) => drop(reader.take(name, *bytes)?),
            Kind::Text => {
                let text = reader.nullable_text(name, compact)?;
                refuse_null(name, nullable, text.is_none())?;
            }
            Kind::Blob => {
                let blob = reader.nullable_blob(name, compact)?;
                refuse_null(name, nullable, blob.is_none())?;
            }
            Kind::Fixeds(bytes) => {
                let elements = self.count(compact, reader, *bytes)?.unwrap_or(0);
                budget.charge_structs(name, elements, *bytes)?;
                reader.take(name, elements * bytes)?;
            }
            Kind::Texts => {
                let min = if compact { 1 } else { 2 };
                let elements = self.count(compact, reader, min)?.unwrap_or(0);
                budget.charge(name, elements * TEXT_MEMORY)?;
                for _ in 0..elements {
                    reader.text(name, compact)?;
                }
            }
            Kind::Structs(schema) => {
                let start = reader.position();
                let elements = self.count(compact, reader, schema.bytes_min(version))?;
                if let Some(extent) = extent {
                    (extent.start, extent.count) = (start, elements);
                    return schema.walk_elements(version, reader, budget, name, extent);
                }
                let elements = elements.unwrap_or(0);
                budget.charge_structs(name, elements, schema.memory)?;
                for _ in 0..elements {
                    schema.walk(version, reader, budget, None)?;
                }
            }
            Kind::Optional(schema) => match reader.i8(name)? {
                1 => schema.walk(version, reader, budget, None)?,
                -1 => {}
                other => {
                    return Err(DecodeError::Length {
                        field: name,
                        length: i64::from(other),
                    });
                }
            },
        }
        Ok(())
    }

    /// Reads the count of an array; `None`: the array is null, and may be.
    fn count(
        &self,
        compact: bool,
        reader: &mut Reader<'_>,
        min: usize,
    ) -> Result<Option<usize>, DecodeError> {
        if self.nullable {
            reader.nullable_count(self.name, compact, min)
        } else {
            Ok(Some(reader.count(self.name, compact, min)?))
        }
    }
}

fn refuse_null(field: &'static str, nullable: bool, is_null: bool) -> Result<(), DecodeError> {
    if is_null && !nullable {
        Err(DecodeError::Length { field, length: -1 })
    } else {
        Ok(())
    }
}

/// No request served by schema has tags that the library knows, so all of them end in its map of unknown ones.
fn unknown_tags(reader: &mut Reader<'_>, budget: &mut Budget) -> Result<(), DecodeError> {
    let mut first = true;
    reader.tagged(|_, _| {
        budget.charge("tagged fields", if first { TAG_MAP_MEMORY } else { TAG_MEMORY })?;
        first = false;
        Ok(false)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{METADATA, OFFSET_COMMIT};
    use crate::error::DecodeError;

    #[test]
    fn counts_above_the_frame_are_refused_before_anything_is_allocated() {
        let body = [0x00, 0x40, 0x00, 0x00, 0];
        assert!(matches!(
            METADATA.check(0, &body),
            Err(DecodeError::Count { field: "topics", .. })
        ));
        assert!(matches!(METADATA.check(0, &[0xff; 4]), Ok(())));
        assert!(matches!(
            METADATA.check(0, &[0xff, 0xff, 0xff, 0xfe]),
            Err(DecodeError::Length { .. })
        ));
    }

    #[test]
    fn trailing_bytes_and_truncation_are_refused() {
        assert_eq!(METADATA.check(0, &[0, 0, 0, 0, 9]), Err(DecodeError::Trailing(1)));
        assert!(matches!(
            METADATA.check(0, &[0, 0, 0]),
            Err(DecodeError::Truncated { .. })
        ));
    }

    #[test]
    fn null_where_kafka_has_none_is_refused() {
        // group_id: null.
        assert!(matches!(
            OFFSET_COMMIT.check(2, &[0xff, 0xff]),
            Err(DecodeError::Length { .. })
        ));
    }

    #[test]
    fn a_million_tags_do_not_become_a_map() {
        let mut body = vec![0, 0, 0, 0];
        let count: u32 = 1_000_000;
        body.extend([
            (count & 0x7f) as u8 | 0x80,
            ((count >> 7) & 0x7f) as u8 | 0x80,
            (count >> 14) as u8,
        ]);
        (0..count).for_each(|_| body.extend([5, 0]));
        assert!(matches!(
            METADATA.check(9, &body),
            Err(DecodeError::Memory { .. })
        ));
    }
}
