//! Answers as status and bytes.

use std::fmt;

use serde::de::DeserializeOwned;
use simdepot_domain::carrier::ReadError;

/// An answer that was received whole.
#[derive(Clone, Default)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The pause that the carrier asks for.
    pub retry_after_ms: Option<u64>,
    /// The `Allow` header.
    pub allow: Option<String>,
    /// As received.
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer without headers.
    pub fn of(status: u16, body: &str) -> Self {
        Self { status, body: body.as_bytes().to_vec(), ..Self::default() }
    }

    /// Whether it is one of the statuses that say yes.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the carrier itself failed. 501 says that the account is not set up, which waiting does not cure.
    pub fn is_server_failure(&self) -> bool {
        matches!(self.status, 500 | 502..=599)
    }

    /// The page of a gateway that answers 200 for a carrier that is away. It begins with `<`, and no answer of a
    /// carrier's does.
    pub fn is_page(&self) -> bool {
        self.status == 200 && self.body.trim_ascii_start().starts_with(b"<")
    }

    /// The body of a 200 as `T`.
    ///
    /// # Errors
    /// Says where it is no `what`, without quoting it.
    pub fn json<T: DeserializeOwned>(&self, what: &str) -> Result<T, ReadError> {
        // serde's message may quote the value, so only the place is told.
        serde_json::from_slice(&self.body)
            .map_err(|e| unreadable(format!("{what} (line {}, column {})", e.line(), e.column())))
    }
}

/// The body may hold activation codes and tokens.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {} with {} bytes", self.status, self.body.len())
    }
}

/// An answer without what it was asked for.
pub fn unreadable(what: impl Into<String>) -> ReadError {
    ReadError::Unreadable { what: what.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn an_unreadable_body_is_not_quoted() {
        let answer = Answer::of(200, "{\"activationCode\":\n SESAME}");
        let error = answer.json::<Value>("an object").unwrap_err().to_string();
        assert!(error.contains("an object (line 2") && !error.contains("SESAME"), "{error}");
        assert!(!format!("{answer:?}").contains("SESAME"));
    }
}
