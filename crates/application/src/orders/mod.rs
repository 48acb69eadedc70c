//! Orders: taken in one transaction, fulfilled by operations, read by their channel.

mod place;
mod read;
mod roll_up;

pub(crate) use place::BundleOnProfile;
pub use place::{PlaceOrder, Placed, PlacedAs, place};
pub(crate) use read::order_bundle;
pub use read::{ListOrders, OrderBundle, OrderLineView, OrderProfile, OrderView, get, list};
pub(crate) use roll_up::roll_up;
