// POST /v1/orders by Fastify and node-postgres. PGHOST and the like say where the database is; FORM is statements or one.
import { createHash, randomBytes } from 'node:crypto';
import Fastify from 'fastify';
import pg from 'pg';
import { ORDER } from './order.js';

const pool = new pg.Pool({ max: 16 });
const authorization = `Bearer ${process.env.KEY}`;

/** A version 7 UUID: sorts by time, as simdepot's do. */
function uuid() {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const named = (id) => `ord_${id.replaceAll('-', '').slice(0, 26)}`;
const sha256 = (text) => createHash('sha256').update(text).digest();
const KEY_ID = 'key_01m81s1wrze75akcb1gxw48nas';

async function statements(order, key) {
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    const { reference } = order;
    const [line] = order.lines;
    const [id, now] = [uuid(), new Date()];
    const name = named(id);
    const { rows: [stock] } = await client.query('SELECT id FROM pools WHERE pool = $1', [line.pool]);
    await client.query(
      `INSERT INTO orders (id, channel, reference, request_hash, status, reveal, version, created_at, updated_at)
       VALUES ($1, 'default', $2, $3, 'fulfilled', true, 2, $4, $4)`,
      [id, reference, sha256(JSON.stringify(order.lines)), now]);
    await client.query('INSERT INTO order_lines (order_id, line_no, pool_id, quantity) VALUES ($1, 0, $2, 1)', [id, stock.id]);
    const { rows: [profile] } = await client.query(
      `SELECT id, iccid, msisdn, version, sell_by FROM profiles WHERE pool_id = $1 AND stock_status = 'available' AND sell_by > $2
       ORDER BY sell_by, batch_no, id LIMIT 1 FOR UPDATE SKIP LOCKED`, [stock.id, now]);
    if (!profile) throw Object.assign(new Error('out of stock'), { statusCode: 409 });
    await client.query(
      `UPDATE profiles SET stock_status = 'allocated', hold_id = NULL, version = version + 2, updated_at = $2, revealed_at = $2
       WHERE id = $1 AND stock_status = 'available'`, [profile.id, now]);
    await client.query(
      `INSERT INTO allocations (profile_id, order_id, line_no, position, outcome, created_at)
       VALUES ($1, $2, 0, 0, 'fulfilled', $3)`, [profile.id, id, now]);
    await client.query(
      `INSERT INTO stock_moves (pool_id, from_status, to_status, sell_by, day, profiles)
       VALUES ($1, 'available', 'allocated', $2, date_trunc('day', now()), 1)`, [stock.id, profile.sell_by]);
    const version = Number(profile.version);
    const events = [
      ['order', name, 1, 'order.created', { channel: 'default', quantity: 1, reference }],
      ['order', name, 2, 'order.status_changed', { to: 'fulfilled', from: 'in_progress' }],
      ['profile', profile.iccid, version + 1, 'profile.stock_moved', { to: 'allocated', from: 'available', order: name }],
      ['profile', profile.iccid, version + 2, 'profile.code_revealed', { key: KEY_ID, order: name }],
    ];
    const places = events.map((_, row) => `(${[1, 2, 3, 4, 5, 6, 7].map((n) => `$${row * 7 + n}`).join(', ')})`);
    await client.query(
      `INSERT INTO events (id, at, subject_kind, subject_id, version, type_name, data) VALUES ${places.join(', ')}`,
      events.flatMap(([kind, subject, number, type, data]) => [uuid(), now, kind, subject, number, type, data]));
    await client.query(
      `INSERT INTO idempotency_keys (channel, key, request, body_hash, status, resource_id, created_at, expires_at)
       VALUES ('default', $1, 'POST /v1/orders', $2, 201, $3, $4, $4::timestamptz + interval '1 day')`,
      [key, sha256(JSON.stringify(order)), name, now]);
    const { rows: [secret] } = await client.query(
      'SELECT activation_code FROM profile_secrets WHERE profile_id = $1', [profile.id]);
    await client.query('COMMIT');
    return answer(name, reference, line.pool, profile, secret.activation_code);
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
}

async function one(order, key) {
  const id = uuid();
  const name = named(id);
  const values = [order.lines[0].pool, id, name, order.reference, sha256(JSON.stringify(order.lines)), key,
    sha256(JSON.stringify(order)), uuid(), uuid(), uuid(), uuid(), KEY_ID];
  const { rows: [profile] } = await pool.query({ name: 'order', text: ORDER, values });
  if (!profile) throw Object.assign(new Error('out of stock'), { statusCode: 409 });
  return answer(name, order.reference, order.lines[0].pool, profile, profile.activation_code);
}

function answer(id, reference, pool, { iccid, msisdn }, code) {
  const activation = { sealed: code.toString('base64') };
  const profiles = [{ iccid, msisdn, stock_status: 'allocated', outcome: 'fulfilled', activation }];
  return { id, reference, channel: 'default', status: 'fulfilled', lines: [{ pool, quantity: 1, profiles }] };
}

const place = process.env.FORM === 'one' ? one : statements;
const schema = {
  body: {
    type: 'object',
    required: ['reference', 'lines'],
    properties: { reference: { type: 'string', minLength: 1 }, lines: { type: 'array', minItems: 1, maxItems: 1 } },
  },
};
const app = Fastify();
app.get('/readyz', async () => pool.query('SELECT 1').then(() => ({})));
app.post('/v1/orders', { schema }, async (request, reply) => {
  if (request.headers.authorization !== authorization) return reply.code(401).send();
  return reply.code(201).send(await place(request.body, request.headers['idempotency-key']));
});
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) });
