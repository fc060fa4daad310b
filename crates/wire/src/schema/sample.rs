//! Writes a random valid struct along its schema, for tests.

use super::{Field, Kind, Schema};
use crate::tests::sample::{Numbers, put_length};
use bytes::{BufMut, BytesMut};

impl Schema {
    pub(crate) fn write_sample(&self, version: i16, numbers: &mut Numbers, out: &mut BytesMut) {
        let compact = version >= self.flexible_from;
        for field in self
            .fields
            .iter()
            .filter(|field| field.from <= version && version <= field.to)
        {
            write_field(field, version, compact, numbers, out);
        }
        if compact {
            // One unknown tag now and then.
            match numbers.below(8) {
                0 => out.put_slice(&[1, 100, 2, 0xab, 0xcd]),
                _ => out.put_u8(0),
            }
        }
    }
}

fn write_field(field: &Field, version: i16, compact: bool, numbers: &mut Numbers, out: &mut BytesMut) {
    let null = field.nullable && numbers.below(4) == 0;
    let count = numbers.below(4) as usize;
    let bytes = |numbers: &mut Numbers, out: &mut BytesMut, count: usize| {
        // Small positive numbers: booleans and enumerations among them must survive being read and written again.
        (0..count).for_each(|at| {
            out.put_u8(if at + 1 == count {
                numbers.below(2) as u8
            } else {
                0
            })
        });
    };
    match &field.kind {
        Kind::Fixed(size) => bytes(numbers, out, *size),
        Kind::Text => {
            let text = numbers.text();
            put_length(out, compact, 2, (!null).then_some(text.len()));
            out.put_slice(if null { b"" } else { text.as_bytes() });
        }
        Kind::Blob => {
            put_length(out, compact, 4, (!null).then_some(count));
            bytes(numbers, out, if null { 0 } else { count });
        }
        Kind::Optional(schema) => {
            let there = numbers.below(2) == 0;
            out.put_i8(if there { 1 } else { -1 });
            if there {
                schema.write_sample(version, numbers, out);
            }
        }
        Kind::Fixeds(_) | Kind::Texts | Kind::Structs(_) => {
            put_length(out, compact, 4, (!null).then_some(count));
            for _ in 0..if null { 0 } else { count } {
                match &field.kind {
                    Kind::Structs(schema) => schema.write_sample(version, numbers, out),
                    Kind::Fixeds(size) => bytes(numbers, out, *size),
                    _ => {
                        let text = numbers.text();
                        put_length(out, compact, 2, Some(text.len()));
                        out.put_slice(text.as_bytes());
                    }
                }
            }
        }
    }
}
