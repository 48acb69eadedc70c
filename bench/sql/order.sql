-- One order in one statement: the rows that simdepot writes for an order of one profile without a product, and the read
-- of the sealed code that it shows. Ids sort by time, as simdepot's do. `pool` is set by the caller.
\set r random(1, 4611686018427387904)
WITH clock AS MATERIALIZED (
    SELECT statement_timestamp() AS now,
           lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') AS ms
), ids AS MATERIALIZED (
    SELECT now, uuid(order_id) AS order_id, 'ord_' || substr(replace(order_id, '-', ''), 1, 26) AS subject, ms
    FROM (SELECT now, ms, substr(ms, 1, 8) || '-' || substr(ms, 9, 4) || '-7' || substr(gen_random_uuid()::text, 16) AS order_id
          FROM clock) AS made
), claimed AS MATERIALIZED (
    SELECT id, iccid, version, sell_by FROM profiles
    WHERE pool_id = :pool::bigint AND stock_status = 'available' AND sell_by > (SELECT now FROM clock)
    ORDER BY sell_by, batch_no, id LIMIT 1 FOR UPDATE SKIP LOCKED
), moved AS (
    UPDATE profiles p SET stock_status = 'allocated', hold_id = NULL, version = p.version + 2, updated_at = ids.now,
           revealed_at = ids.now
    FROM claimed c, ids WHERE p.id = c.id AND p.stock_status = 'available'
    RETURNING p.id, p.iccid, p.version, p.sell_by
), new_order AS (
    INSERT INTO orders (id, channel, reference, request_hash, status, reveal, version, created_at, updated_at)
    SELECT order_id, 'default', 'bench-' || :r::bigint, sha256(order_id::text::bytea), 'fulfilled', true, 2, now, now
    FROM ids, moved
), new_line AS (
    INSERT INTO order_lines (order_id, line_no, pool_id, quantity) SELECT order_id, 0, :pool::bigint, 1 FROM ids, moved
), new_allocation AS (
    INSERT INTO allocations (profile_id, order_id, line_no, position, outcome, created_at)
    SELECT moved.id, order_id, 0, 0, 'fulfilled', now FROM ids, moved
), new_move AS (
    INSERT INTO stock_moves (pool_id, from_status, to_status, sell_by, day, profiles)
    SELECT :pool::bigint, 'available', 'allocated', sell_by, date_trunc('day', now), 1 FROM ids, moved
), new_events AS (
    INSERT INTO events (id, at, subject_kind, subject_id, version, type_name, data)
    SELECT (substr(ms, 1, 8) || '-' || substr(ms, 9, 4) || '-7' || substr(gen_random_uuid()::text, 16))::uuid,
           now, e.kind, e.subject, e.version, e.type_name, e.data
    FROM ids, moved, LATERAL (VALUES
        ('order', ids.subject, 1, 'order.created',
         jsonb_build_object('channel', 'default', 'quantity', 1, 'reference', 'bench-' || :r::bigint)),
        ('order', ids.subject, 2, 'order.status_changed', '{"to": "fulfilled", "from": "in_progress"}'::jsonb),
        ('profile', moved.iccid, moved.version - 1, 'profile.stock_moved',
         jsonb_build_object('to', 'allocated', 'from', 'available', 'order', ids.subject)),
        ('profile', moved.iccid, moved.version, 'profile.code_revealed',
         jsonb_build_object('key', 'key_01m81s1wrze75akcb1gxw48nas', 'order', ids.subject))
    ) AS e (kind, subject, version, type_name, data)
), new_key AS (
    INSERT INTO idempotency_keys (channel, key, request, body_hash, status, resource_id, created_at, expires_at)
    SELECT 'default', 'bench-' || :r::bigint, 'POST /v1/orders', sha256(subject::bytea), 201, subject, now,
           now + interval '1 day'
    FROM ids, moved
)
SELECT moved.iccid, s.activation_code FROM moved JOIN profile_secrets s ON s.profile_id = moved.id;
