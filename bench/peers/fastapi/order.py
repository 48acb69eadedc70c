"""An order in one statement; the same text is in ../fastify/order.js."""

ORDER = """
WITH claimed AS MATERIALIZED (
    SELECT p.id, p.pool_id FROM profiles p
    WHERE p.pool_id = (SELECT id FROM pools WHERE pool = $1) AND p.stock_status = 'available' AND p.sell_by > now()
    ORDER BY p.sell_by, p.batch_no, p.id LIMIT 1 FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE profiles p SET stock_status = 'allocated', hold_id = NULL, version = p.version + 2, updated_at = now(),
           revealed_at = now()
    FROM claimed c WHERE p.id = c.id AND p.stock_status = 'available'
    RETURNING p.id, p.pool_id, p.iccid, p.msisdn, p.version, p.sell_by
), new_order AS (
    INSERT INTO orders (id, channel, reference, request_hash, status, reveal, version, created_at, updated_at)
    SELECT $2::uuid, 'default', $4::text, $5::bytea, 'fulfilled', true, 2, now(), now() FROM moved
), new_line AS (
    INSERT INTO order_lines (order_id, line_no, pool_id, quantity) SELECT $2::uuid, 0, pool_id, 1 FROM moved
), new_allocation AS (
    INSERT INTO allocations (profile_id, order_id, line_no, position, outcome, created_at)
    SELECT id, $2::uuid, 0, 0, 'fulfilled', now() FROM moved
), new_move AS (
    INSERT INTO stock_moves (pool_id, from_status, to_status, sell_by, day, profiles)
    SELECT pool_id, 'available', 'allocated', sell_by, date_trunc('day', now()), 1 FROM moved
), new_events AS (
    INSERT INTO events (id, at, subject_kind, subject_id, version, type_name, data)
    SELECT e.id, now(), e.kind, e.subject, e.version, e.type_name, e.data
    FROM moved, LATERAL (VALUES
        ($8::uuid, 'order', $3::text, 1, 'order.created',
         jsonb_build_object('channel', 'default', 'quantity', 1, 'reference', $4::text)),
        ($9::uuid, 'order', $3::text, 2, 'order.status_changed', '{"to": "fulfilled", "from": "in_progress"}'::jsonb),
        ($10::uuid, 'profile', moved.iccid, moved.version - 1, 'profile.stock_moved',
         jsonb_build_object('to', 'allocated', 'from', 'available', 'order', $3::text)),
        ($11::uuid, 'profile', moved.iccid, moved.version, 'profile.code_revealed',
         jsonb_build_object('key', $12::text, 'order', $3::text))
    ) AS e (id, kind, subject, version, type_name, data)
), new_key AS (
    INSERT INTO idempotency_keys (channel, key, request, body_hash, status, resource_id, created_at, expires_at)
    SELECT 'default', $6::text, 'POST /v1/orders', $7::bytea, 201, $3::text, now(), now() + interval '1 day' FROM moved
)
SELECT moved.iccid, moved.msisdn, s.activation_code FROM moved JOIN profile_secrets s ON s.profile_id = moved.id"""
