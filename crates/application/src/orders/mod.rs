//! Orders: taken in one transaction, fulfilled by operations, read by their channel.

mod by_hand;
mod check;
mod convert;
mod desk;
mod draft;
mod fresh;
mod goods;
mod place;
mod read;
mod roll_up;
mod take;

pub use by_hand::{OrderDecided, OrderVerdict, decide_by_hand};
pub use desk::{Aside, Together};
pub(crate) use goods::{Goods, OnProfile};
pub use place::{PlaceOrder, Placed, PlacedAs, place};
pub use read::{ListOrders, OrderBundle, OrderLineView, OrderProfile, OrderView, get, get_settled, list};
pub(crate) use read::{order_bundle, own, read};
pub(crate) use roll_up::roll_up;
