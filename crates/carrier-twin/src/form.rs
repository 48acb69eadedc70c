//! Reading `application/x-www-form-urlencoded` text: queries and the token call's body.

/// Names and values, decoded, in the order sent. A name without `=` has an empty value.
pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name, true), decode(value, true)))
        .collect()
}

/// A path segment, decoded; `+` stays a plus.
pub(crate) fn decode_segment(text: &str) -> String {
    decode(text, false)
}

fn decode(text: &str, plus_is_space: bool) -> String {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        match (byte, ahead.next().and_then(hex_digit), ahead.next().and_then(hex_digit)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high * 16 + low);
                bytes = ahead;
            }
            (b'+', ..) if plus_is_space => decoded.push(b' '),
            (byte, ..) => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_and_leaves_broken_escapes_alone() {
        let read: Vec<(String, String)> = pairs("a=1+2&b=%2B%e9%C3%A9&&c&d=%4&e=%zz%");
        let expected = [("a", "1 2"), ("b", "+\u{fffd}é"), ("c", ""), ("d", "%4"), ("e", "%zz%")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(decode_segment("a+b%20c"), "a+b c");
        assert!(pairs("").is_empty());
    }
}
