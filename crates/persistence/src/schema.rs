//! Tables as diesel sees them. The migrations are the truth; a test compares both databases with this file.

macro_rules! tables {
    ($($name:ident ($($key:ident),+) { $($column:ident -> $type:ty,)+ })+) => {
        $(diesel::table! {
            use diesel::sql_types::*;
            use crate::sql_types::{Document, Id, Moment};
            $name ($($key),+) { $($column -> $type,)+ }
        })+
        diesel::allow_tables_to_appear_in_same_query!($($name,)+);
    };
}

tables! {
    wrapped_keys (id) {
        id -> Id,
        purpose -> Text,
        key_id -> Text,
        wrapped -> Binary,
        created_at -> Moment,
    }
    pools (id) {
        id -> BigInt,
        pool -> Text,
        carrier_account -> Text,
        name -> Text,
        low_threshold -> Nullable<BigInt>,
        critical_threshold -> Nullable<BigInt>,
        safety_buffer -> BigInt,
        lead_time_days -> Nullable<BigInt>,
        shelf_life_days -> Nullable<BigInt>,
        balance_low_percent -> Nullable<BigInt>,
        expiry_warning_days -> Nullable<BigInt>,
        sellable_statuses -> Document,
        activation -> Nullable<Document>,
        alert_level -> Text,
        expiring_through -> Nullable<Moment>,
        version -> BigInt,
        created_at -> Moment,
        updated_at -> Moment,
    }
    restocks (pool_id, number) {
        pool_id -> BigInt,
        number -> BigInt,
        sell_by -> Moment,
        batch_no -> BigInt,
        profile_id -> BigInt,
    }
    imports (id) {
        id -> Id,
        batch_no -> BigInt,
        pool_id -> BigInt,
        format -> Text,
        on_error -> Text,
        dry_run -> Bool,
        sell_by -> Nullable<Moment>,
        file_name -> Nullable<Text>,
        file_sha256 -> Text,
        status -> Text,
        rows -> BigInt,
        accepted -> BigInt,
        rejected -> BigInt,
        duplicates -> BigInt,
        warnings -> BigInt,
        updated -> BigInt,
        unchanged -> BigInt,
        problem -> Nullable<Text>,
        version -> BigInt,
        created_at -> Moment,
        finished_at -> Nullable<Moment>,
    }
    import_signs (import_id) {
        import_id -> Id,
        shown_at -> Moment,
        rows -> BigInt,
        accepted -> BigInt,
        rejected -> BigInt,
        duplicates -> BigInt,
        warnings -> BigInt,
        updated -> BigInt,
        unchanged -> BigInt,
    }
    import_rows (import_id, position) {
        import_id -> Id,
        position -> BigInt,
        line -> BigInt,
        result -> Text,
        column_name -> Text,
        code -> Text,
        reason -> Text,
        iccid -> Nullable<Text>,
    }
    profiles (id) {
        id -> BigInt,
        iccid -> Text,
        sim_key -> Text,
        form_factor -> Text,
        pool_id -> BigInt,
        import_id -> Id,
        batch_no -> BigInt,
        imported_as -> Text,
        stock_status -> Text,
        quarantine_reason -> Nullable<Text>,
        sell_by -> Moment,
        msisdn -> Nullable<Text>,
        msisdn_at -> Nullable<Moment>,
        eid -> Nullable<Text>,
        sim_status -> Nullable<Text>,
        sim_observed_at -> Nullable<Moment>,
        sim_dated -> Nullable<Bool>,
        sim_received_at -> Nullable<Moment>,
        sim_source -> Nullable<Text>,
        esim_status -> Nullable<Text>,
        esim_observed_at -> Nullable<Moment>,
        esim_dated -> Nullable<Bool>,
        esim_received_at -> Nullable<Moment>,
        esim_source -> Nullable<Text>,
        hold_id -> Nullable<Id>,
        revealed_at -> Nullable<Moment>,
        recheck_at -> Nullable<Moment>,
        tags -> Document,
        note -> Nullable<Text>,
        version -> BigInt,
        created_at -> Moment,
        updated_at -> Moment,
    }
    profile_secrets (profile_id) {
        profile_id -> BigInt,
        data_key_id -> Id,
        activation_code -> Nullable<Binary>,
        code_index -> Nullable<Binary>,
        pin -> Nullable<Binary>,
        puk -> Nullable<Binary>,
    }
    orders (id) {
        id -> Id,
        channel -> Text,
        reference -> Text,
        request_hash -> Binary,
        status -> Text,
        reveal -> Bool,
        problem -> Nullable<Document>,
        cancelling_since -> Nullable<Moment>,
        accepted_at -> Nullable<Moment>,
        version -> BigInt,
        created_at -> Moment,
        updated_at -> Moment,
    }
    order_lines (order_id, line_no) {
        order_id -> Id,
        line_no -> Integer,
        pool_id -> BigInt,
        product -> Nullable<Text>,
        quantity -> BigInt,
        carrier_parameters -> Nullable<Document>,
    }
    allocations (id) {
        id -> BigInt,
        profile_id -> BigInt,
        order_id -> Id,
        line_no -> Integer,
        position -> Integer,
        outcome -> Text,
        created_at -> Moment,
        ended_at -> Nullable<Moment>,
        decided -> Bool,
    }
    bundles (id) {
        id -> Id,
        profile_id -> BigInt,
        order_id -> Nullable<Id>,
        channel -> Text,
        reference -> Nullable<Text>,
        request_hash -> Nullable<Binary>,
        product -> Text,
        order_type -> Nullable<Text>,
        status -> Text,
        carrier_account -> Text,
        subscription_id -> Nullable<Text>,
        activated_at -> Nullable<Moment>,
        expires_at -> Nullable<Moment>,
        balances -> Nullable<Document>,
        fetched_at -> Nullable<Moment>,
        observed_at -> Nullable<Moment>,
        low_told_for -> Nullable<Moment>,
        expiry_told_for -> Nullable<Moment>,
        version -> BigInt,
        created_at -> Moment,
        updated_at -> Moment,
    }
    operations (id) {
        id -> Id,
        carrier_account -> Text,
        request -> Document,
        lane -> Text,
        profile_id -> BigInt,
        allocation_id -> Nullable<BigInt>,
        order_id -> Nullable<Id>,
        bundle_id -> Nullable<Id>,
        status -> Text,
        attempts -> Integer,
        deferrals -> Integer,
        answer_lost -> Bool,
        waiting_since -> Nullable<Moment>,
        run_at -> Moment,
        lease_token -> Nullable<Id>,
        lease_until -> Nullable<Moment>,
        order_type -> Nullable<Text>,
        refused_type -> Nullable<Text>,
        sent_at -> Nullable<Moment>,
        first_sent_at -> Nullable<Moment>,
        resolve_after -> Nullable<Moment>,
        before_set -> Nullable<Document>,
        hints -> Nullable<Document>,
        sealed -> Nullable<Binary>,
        reads -> Integer,
        resolution -> Nullable<Document>,
        evidence -> Nullable<Document>,
        carrier_reference -> Nullable<Text>,
        problem -> Nullable<Document>,
        version -> BigInt,
        created_at -> Moment,
        updated_at -> Moment,
    }
    idempotency_keys (channel, key) {
        channel -> Text,
        key -> Text,
        request -> Text,
        body_hash -> Binary,
        status -> Integer,
        resource_id -> Text,
        created_at -> Moment,
        expires_at -> Moment,
    }
    events (id) {
        id -> Id,
        at -> Moment,
        subject_kind -> Text,
        subject_id -> Text,
        version -> BigInt,
        type_name -> Text,
        data -> Document,
    }
    api_keys (id) {
        id -> Id,
        name -> Text,
        channel -> Text,
        scopes -> Document,
        hash -> Binary,
        hint -> Text,
        version -> BigInt,
        created_at -> Moment,
        expires_at -> Nullable<Moment>,
        last_used_at -> Nullable<Moment>,
        revoked_at -> Nullable<Moment>,
    }
    products (carrier_account, product) {
        carrier_account -> Text,
        product -> Text,
        data -> Document,
        fetched_at -> Moment,
    }
    catalogues (carrier_account) {
        carrier_account -> Text,
        fetched_at -> Moment,
    }
    feed (seq) {
        seq -> BigInt,
        event_id -> Id,
        hash -> Binary,
    }
    feed_position (id) {
        id -> Integer,
        seq -> BigInt,
        hash -> Binary,
        horizon -> BigInt,
        cluster -> Text,
    }
    holds (id) {
        id -> Id,
        channel -> Text,
        pool_id -> BigInt,
        quantity -> BigInt,
        status -> Text,
        expires_at -> Moment,
        order_id -> Nullable<Id>,
        version -> BigInt,
        created_at -> Moment,
        updated_at -> Moment,
    }
    carrier_events (carrier_account, event_id) {
        carrier_account -> Text,
        event_id -> Text,
        event_type -> Text,
        status -> Text,
        attempts -> Integer,
        run_at -> Moment,
        profile_id -> Nullable<BigInt>,
        body -> Binary,
        received_at -> Moment,
        applied_at -> Nullable<Moment>,
    }
    drifts (id) {
        id -> BigInt,
        carrier_account -> Text,
        profile_id -> BigInt,
        kind -> Text,
        subject -> Text,
        details -> Document,
        status -> Text,
        first_seen_at -> Moment,
        last_seen_at -> Moment,
    }
    suspicions (profile_id, kind, subject) {
        profile_id -> BigInt,
        kind -> Text,
        subject -> Text,
        since -> Moment,
    }
    reconciliations (id) {
        id -> Id,
        status -> Text,
        total -> BigInt,
        compared -> BigInt,
        unread -> BigInt,
        drifts -> BigInt,
        healed -> BigInt,
        unknown_lines -> BigInt,
        adopt_pool_id -> Nullable<BigInt>,
        adopted -> BigInt,
        after -> BigInt,
        problem -> Nullable<Text>,
        lease_token -> Nullable<Id>,
        lease_until -> Nullable<Moment>,
        version -> BigInt,
        created_at -> Moment,
        finished_at -> Nullable<Moment>,
    }
    profile_checks (profile_id) {
        profile_id -> BigInt,
        check_at -> Moment,
        checks -> Integer,
    }
    stock_counts (pool_id, stock_status, sell_by) {
        pool_id -> BigInt,
        stock_status -> Text,
        sell_by -> Moment,
        profiles -> BigInt,
    }
    stock_moves (txid) {
        txid -> BigInt,
        pool_id -> BigInt,
        from_status -> Nullable<Text>,
        to_status -> Nullable<Text>,
        sell_by -> Moment,
        day -> Moment,
        profiles -> BigInt,
    }
    stock_sold (pool_id, day) {
        pool_id -> BigInt,
        day -> Moment,
        profiles -> BigInt,
    }
    watermarks (name) {
        name -> Text,
        value -> BigInt,
    }
    carrier_turns (carrier_account) {
        carrier_account -> Text,
        next_at -> Moment,
    }
    webhook_endpoints (id) {
        id -> Id,
        channel -> Text,
        url -> Text,
        description -> Nullable<Text>,
        types -> Nullable<Document>,
        status -> Text,
        disabled_reason -> Nullable<Text>,
        secret_key_id -> Id,
        secret -> Binary,
        previous_secret -> Nullable<Binary>,
        previous_until -> Nullable<Moment>,
        position -> BigInt,
        failures -> Integer,
        not_before -> Nullable<Moment>,
        version -> BigInt,
        created_at -> Moment,
        updated_at -> Moment,
    }
    webhook_deliveries (id) {
        id -> BigInt,
        endpoint_id -> Id,
        seq -> BigInt,
        event_id -> Id,
        event_type -> Text,
        order_key -> Text,
        body -> Binary,
        replay -> Bool,
        status -> Text,
        attempts -> Integer,
        run_at -> Nullable<Moment>,
        lease_token -> Nullable<Id>,
        lease_until -> Nullable<Moment>,
        last_status -> Nullable<Integer>,
        last_error -> Nullable<Text>,
        created_at -> Moment,
        finished_at -> Nullable<Moment>,
    }
    lines (profile_id) {
        profile_id -> BigInt,
        suspended_by -> Nullable<Text>,
        rate_plan -> Nullable<Text>,
        options -> Nullable<Document>,
        line_group -> Nullable<Text>,
        external_reference -> Nullable<Text>,
        activated_at -> Nullable<Moment>,
        modified_at -> Nullable<Moment>,
        contract_ends_at -> Nullable<Moment>,
        source -> Text,
        observed_at -> Moment,
    }
    sim_swaps (old_profile_id) {
        old_profile_id -> BigInt,
        new_profile_id -> BigInt,
        operation_id -> Id,
        swapped_at -> Moment,
    }
    sim_reservations (profile_id) {
        profile_id -> BigInt,
        operation_id -> Id,
    }
    rate_plans (rate_plan) {
        rate_plan -> Text,
        options -> Document,
        version -> BigInt,
        created_at -> Moment,
        updated_at -> Moment,
    }
    service_profiles (name) {
        name -> Text,
        rate_plan -> Nullable<Text>,
        options -> Document,
        description -> Nullable<Text>,
        version -> BigInt,
        created_at -> Moment,
        updated_at -> Moment,
    }
    line_jobs (id) {
        id -> Id,
        channel -> Text,
        all_stock -> Bool,
        operation -> Text,
        status -> Text,
        total -> BigInt,
        running -> BigInt,
        done -> BigInt,
        refused -> BigInt,
        needs_attention -> BigInt,
        passed -> BigInt,
        run_at -> Moment,
        lease_token -> Nullable<Id>,
        lease_until -> Nullable<Moment>,
        version -> BigInt,
        created_at -> Moment,
        updated_at -> Moment,
        finished_at -> Nullable<Moment>,
    }
    line_job_rows (job_id, position) {
        job_id -> Id,
        position -> BigInt,
        iccid -> Text,
        command -> Document,
        status -> Text,
        operation_id -> Nullable<Id>,
        problem -> Nullable<Document>,
    }
}
