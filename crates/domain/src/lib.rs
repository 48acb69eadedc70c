//! simdepot's domain: identifiers, lifecycles, pool rules, events and ports.
//!
//! Everything here is pure. Nothing reads a clock, makes an id, opens a socket or a database: time, ids and
//! carriers come in through the ports ([`clock::Clock`], [`id::IdGenerator`], [`carrier::Carrier`]).

pub mod activation_code;
pub mod check_digits;
pub mod country;
pub mod delivery;
pub mod device;
pub mod eid;
pub mod iccid;
pub mod identifier_error;
pub mod imei;
pub mod install_link;
pub mod matching_id;
pub mod msisdn;
pub mod qr;
pub mod secret;
pub mod smdp_address;

pub mod bundle;
pub mod bundle_warning;
pub mod carrier;
pub mod carrier_event;
pub mod channel;
pub mod clock;
pub mod drift;
pub mod esim;
pub mod event;
pub mod feed;
pub mod hold;
pub mod id;
pub mod import;
pub mod lifecycle_doc;
pub mod line;
pub mod line_job;
pub mod observation;
pub mod operation;
pub mod order;
pub mod pool;
pub mod product;
pub mod profile;
pub mod rate;
pub mod reconciliation;
pub mod refund;
pub mod resolution;
pub mod sim;
pub mod stock;
pub mod stock_alert;
pub mod timeline;
pub mod webhook;
