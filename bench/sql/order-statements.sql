-- The same order in separate statements, as a straightforward service sends them: eleven round trips.
\set r random(1, 4611686018427387904)
BEGIN;
INSERT INTO orders (id, channel, reference, request_hash, status, reveal, version, created_at, updated_at)
    SELECT order_id, 'default', 'bench-' || :r::bigint, sha256(order_id::text::bytea), 'fulfilled', true, 2, now(), now()
    FROM (SELECT (substr(ms, 1, 8) || '-' || substr(ms, 9, 4) || '-7' || substr(gen_random_uuid()::text, 16))::uuid AS order_id
          FROM (SELECT lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') AS ms) AS clock) AS ids
    ON CONFLICT (channel, reference) DO NOTHING
    RETURNING id AS order_id, 'ord_' || substr(replace(id::text, '-', ''), 1, 26) AS subject \gset
INSERT INTO order_lines (order_id, line_no, pool_id, quantity) VALUES (:order_id::text::uuid, 0, :pool::bigint, 1);
SELECT id AS profile, iccid, version, sell_by FROM profiles
    WHERE pool_id = :pool::bigint AND stock_status = 'available' AND sell_by > now()
    ORDER BY sell_by, batch_no, id LIMIT 1 FOR UPDATE SKIP LOCKED \gset
UPDATE profiles SET stock_status = 'allocated', hold_id = NULL, version = version + 2, updated_at = now(), revealed_at = now()
    WHERE id = :profile::bigint AND stock_status = 'available';
INSERT INTO allocations (profile_id, order_id, line_no, position, outcome, created_at)
    VALUES (:profile::bigint, :order_id::text::uuid, 0, 0, 'fulfilled', now());
INSERT INTO stock_moves (pool_id, from_status, to_status, sell_by, day, profiles)
    VALUES (:pool::bigint, 'available', 'allocated', :sell_by::text::timestamptz, date_trunc('day', now()), 1);
INSERT INTO events (id, at, subject_kind, subject_id, version, type_name, data)
    SELECT (substr(ms, 1, 8) || '-' || substr(ms, 9, 4) || '-7' || substr(gen_random_uuid()::text, 16))::uuid, now(), e.*
    FROM (SELECT lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') AS ms) AS clock,
    LATERAL (VALUES
        ('order', :subject::text, 1, 'order.created',
         jsonb_build_object('channel', 'default', 'quantity', 1, 'reference', 'bench-' || :r::bigint)),
        ('order', :subject::text, 2, 'order.status_changed', '{"to": "fulfilled", "from": "in_progress"}'::jsonb),
        ('profile', :iccid::text, :version::bigint + 1, 'profile.stock_moved',
         jsonb_build_object('to', 'allocated', 'from', 'available', 'order', :subject::text)),
        ('profile', :iccid::text, :version::bigint + 2, 'profile.code_revealed',
         jsonb_build_object('key', 'key_01m81s1wrze75akcb1gxw48nas', 'order', :subject::text))
    ) AS e;
INSERT INTO idempotency_keys (channel, key, request, body_hash, status, resource_id, created_at, expires_at)
    VALUES ('default', 'bench-' || :r::bigint, 'POST /v1/orders', sha256(:subject::text::bytea), 201, :subject::text, now(),
            now() + interval '1 day')
    ON CONFLICT (channel, key) DO NOTHING;
SELECT activation_code FROM profile_secrets WHERE profile_id = :profile::bigint;
COMMIT;
