//! What handlers take: checked bodies, queries and headers. Whatever is wrong with them is a problem document that
//! names the field.

pub mod authenticated;
pub mod body;
pub mod idempotency;
pub mod json;
mod objects;
pub mod path;
pub mod prefer;
pub mod query;
mod violation;

pub use authenticated::Authenticated;
pub use idempotency::{IdempotencyHeader, Idempotent, IdempotentEmpty};
pub use json::ValidJson;
pub use path::{PathPair, PathParam};
pub use prefer::PreferWait;
pub use query::ValidQuery;
