//! Java's properties syntax: comments, the three separators, escapes, continued lines.
//!
//! Source: `java.util.Properties.load`. Values are trimmed later, by type, as Kafka does.

/// One `key=value` of a properties text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Property {
    /// The key, unescaped.
    pub(super) key: String,
    /// The value, unescaped; may be empty.
    pub(super) value: String,
    /// The line it begins on, from 1.
    pub(super) line: usize,
}

/// A `\u` that is not followed by four hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: \\u must be followed by four hexadecimal digits")]
pub(super) struct MalformedEscape {
    /// The line on which the property begins, from 1.
    pub(super) line: usize,
}

/// Reads a file's bytes as Java tools write them: UTF-8, or else ISO 8859-1.
pub(super) fn decode(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}').to_owned(),
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
    }
}

/// Parses a whole text; a key may occur twice, the caller decides.
pub(super) fn parse(text: &str) -> Result<Vec<Property>, MalformedEscape> {
    let mut properties = Vec::new();
    for (line, logical) in logical_lines(text) {
        let (key, value) = split(&logical);
        let unescape = |part: &str| unescape(part).ok_or(MalformedEscape { line });
        properties.push(Property {
            key: unescape(key)?,
            value: unescape(value)?,
            line,
        });
    }
    Ok(properties)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Joins continued lines; drops comments and empty lines. A line is continued by an odd number of backslashes.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    let natural = text
        .split('\n')
        .flat_map(|l| l.strip_suffix('\r').unwrap_or(l).split('\r'));
    for (index, raw) in natural.enumerate() {
        let content = raw.trim_start_matches(is_blank);
        let is_comment = open.is_none() && (content.is_empty() || content.starts_with(['#', '!']));
        if is_comment {
            continue;
        }
        let (number, mut joined) = open.take().unwrap_or((index + 1, String::new()));
        let trailing = content.len() - content.trim_end_matches('\\').len();
        if trailing % 2 == 1 {
            joined.push_str(&content[..content.len() - 1]);
            open = Some((number, joined));
        } else {
            joined.push_str(content);
            lines.push((number, joined));
        }
    }
    lines.extend(open.filter(|(_, joined)| !joined.is_empty()));
    lines
}

/// Splits at the first unescaped `=`, `:` or blank; blanks around one separator belong to it.
fn split(logical: &str) -> (&str, &str) {
    let mut escaped = false;
    let mut end = logical.len();
    for (at, c) in logical.char_indices() {
        if !escaped && (matches!(c, '=' | ':') || is_blank(c)) {
            end = at;
            break;
        }
        escaped = c == '\\' && !escaped;
    }
    let rest = logical[end..].trim_start_matches(is_blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&logical[..end], rest.trim_start_matches(is_blank))
}

fn unescape(part: &str) -> Option<String> {
    let mut text = String::with_capacity(part.len());
    let mut chars = part.chars();
    // UTF-16 units: Java writes characters outside the basic plane as two escapes.
    let mut units: Vec<u16> = Vec::new();
    while let Some(c) = chars.next() {
        if c != '\\' {
            flush(&mut units, &mut text);
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return None;
                }
                units.push(u16::from_str_radix(&digits, 16).ok()?);
            }
            Some(other) => {
                flush(&mut units, &mut text);
                text.push(match other {
                    't' => '\t',
                    'n' => '\n',
                    'r' => '\r',
                    'f' => '\u{c}',
                    plain => plain,
                });
            }
            None => {}
        }
    }
    flush(&mut units, &mut text);
    Some(text)
}

fn flush(units: &mut Vec<u16>, text: &mut String) {
    text.push_str(&String::from_utf16_lossy(units));
    units.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_java_properties_is_read() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("a=b", &[("a", "b")]),
            ("  a : b  ", &[("a", "b  ")]),
            ("a b c", &[("a", "b c")]),
            ("a = = b", &[("a", "= b")]),
            ("a", &[("a", "")]),
            ("# c\n! d\n\n  # e\na=1", &[("a", "1")]),
            ("a=1\\\n   2\\\n3\nb=4", &[("a", "123"), ("b", "4")]),
            ("a=1\\\\\nb=2", &[("a", "1\\"), ("b", "2")]),
            ("a\\=b=c", &[("a=b", "c")]),
            ("a\\ b=c\\td", &[("a b", "c\td")]),
            ("u=\\u00e9\\ud83d\\ude00!", &[("u", "é😀!")]),
            ("w=\\q\\\"", &[("w", "q\"")]),
            ("a=1\r\nb=2\rc=3", &[("a", "1"), ("b", "2"), ("c", "3")]),
            ("a=x\\\n# not a comment", &[("a", "x# not a comment")]),
            ("url=http://h:1/x", &[("url", "http://h:1/x")]),
            ("a=1\\", &[("a", "1")]),
        ];
        for (text, expected) in cases {
            let parsed = parse(text).unwrap();
            let pairs: Vec<_> = parsed
                .iter()
                .map(|p| (p.key.as_str(), p.value.as_str()))
                .collect();
            assert_eq!(&pairs, expected, "{text:?}");
        }
    }

    #[test]
    fn malformed_escapes_name_their_line() {
        assert_eq!(parse("a=1\nb=\\u12x4"), Err(MalformedEscape { line: 2 }));
        assert_eq!(parse("a=\\\n\\u12"), Err(MalformedEscape { line: 1 }));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_latin1() {
        assert_eq!(decode(b"a=\xe9"), "a=é");
        assert_eq!(decode("\u{feff}a=é".as_bytes()), "a=é");
    }
}
