//! Ids of process flows, which the operator's support asks for: UUIDs in the form of version 4, derived from what is done.
//!
//! A command, its repetitions and the questions after it are one flow. Every other read is one of its own.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

/// The flow of a command.
pub(crate) fn of_command(account: &str, reference: &str) -> String {
    uuid(&["command", account, reference])
}

/// The flow of a read: the `count`-th of this process.
pub(crate) fn of_read(account: &str, at: DateTime<Utc>, count: u64) -> String {
    let nanoseconds = at.timestamp_nanos_opt().unwrap_or_default();
    uuid(&["read", account, &nanoseconds.to_string(), &count.to_string()])
}

fn uuid(parts: &[&str]) -> String {
    let digest = Sha256::digest(parts.join("\0"));
    let bytes = digest.first_chunk::<16>().copied().unwrap_or_default();
    // Version 4 and the RFC 9562 variant, in their places.
    let n = u128::from_be_bytes(bytes) & !((0xF << 76) | (0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let (a, b, c, d) = (n >> 96, (n >> 80) & 0xFFFF, (n >> 64) & 0xFFFF, (n >> 48) & 0xFFFF);
    let rest = n & 0xFFFF_FFFF_FFFF;
    format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{rest:012x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a strict reader takes it for a UUID of version 4.
    fn is_v4(text: &str) -> bool {
        let shape: String = text.chars().map(|c| if c.is_ascii_hexdigit() { 'x' } else { c }).collect();
        shape == "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
            && &text[14..15] == "4"
            && matches!(&text[19..20], "8" | "9" | "a" | "b")
    }

    #[test]
    fn one_per_flow_in_the_form_of_version_4() {
        let at = "2026-03-10T00:00:00Z".parse().unwrap();
        let ids: Vec<String> = (0..100).map(|count| of_read("a", at, count)).collect();
        assert!(ids.iter().all(|id| is_v4(id)), "{ids:?}");
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 100);
        assert_eq!(of_command("a", "op_1"), of_command("a", "op_1"));
        assert_ne!(of_command("a", "op_1"), of_command("a", "op_2"));
        assert_ne!(of_command("a", "op_1"), of_command("b", "op_1"));
    }
}
