//! The temporary tables, as diesel inserts into them.

diesel::table! {
    use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};
    use crate::sql_types::Moment;

    /// Rows that can be used.
    staged_rows (line) {
        line -> BigInt,
        iccid -> Text,
        quarantine_reason -> Nullable<Text>,
        sell_by -> Moment,
        msisdn -> Nullable<Text>,
        eid -> Nullable<Text>,
        sim_status -> Nullable<Text>,
        told -> Nullable<Bool>,
        activation_code -> Nullable<Binary>,
        code_index -> Nullable<Binary>,
        pin -> Nullable<Binary>,
        puk -> Nullable<Binary>,
    }
}

diesel::table! {
    /// What is to be said of rows.
    staged_issues (line, place) {
        line -> BigInt,
        place -> BigInt,
        rejected -> Bool,
        column_name -> Text,
        code -> Text,
        reason -> Text,
        iccid -> Nullable<Text>,
    }
}
