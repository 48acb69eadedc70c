// Sells a Vendure shop's last units through its public API: first to customers who come in turn, then to as many who go to the till
// at once. Prints one line of JSON.
const base = `http://127.0.0.1:${process.env.PORT}`;
const [customers, units] = [Number(process.argv[2]), Number(process.argv[3])];

/** A visitor with a session of its own. */
class Visitor {
  constructor(api) {
    this.url = `${base}/${api}`;
  }

  async ask(query, variables = {}) {
    const headers = { 'content-type': 'application/json' };
    if (this.token) headers.authorization = `Bearer ${this.token}`;
    const reply = await fetch(this.url, { method: 'POST', headers, body: JSON.stringify({ query, variables }) });
    this.token = reply.headers.get('vendure-auth-token') ?? this.token;
    const { data, errors } = await reply.json();
    if (errors) throw new Error(errors[0].message);
    return Object.values(data)[0];
  }
}

/** A shop without goods; returns how to make an article of which there are so many units. */
async function open(admin) {
  await admin.ask(
    'mutation ($p: String!) { login(username: "superadmin", password: $p) { __typename } }', { p: process.env.KEY });
  const zone = await admin.ask('mutation { createZone(input: { name: "Zone" }) { id } }');
  const country = await admin.ask(`mutation { createCountry(input: { code: "GB", enabled: true,
    translations: [{ languageCode: en, name: "GB" }] }) { id } }`);
  await admin.ask(
    'mutation ($z: ID!, $c: [ID!]!) { addMembersToZone(zoneId: $z, memberIds: $c) { id } }', { z: zone.id, c: [country.id] });
  const tax = await admin.ask('mutation { createTaxCategory(input: { name: "Standard", isDefault: true }) { id } }');
  await admin.ask(`mutation ($z: ID!, $t: ID!) { createTaxRate(input: { name: "None", enabled: true, value: 0,
    categoryId: $t, zoneId: $z }) { id } }`, { z: zone.id, t: tax.id });
  await admin.ask(`mutation ($z: ID!) { updateChannel(input: { id: 1,
    defaultTaxZoneId: $z, defaultShippingZoneId: $z }) { __typename } }`, { z: zone.id });
  await admin.ask(`mutation { createShippingMethod(input: { code: "post", fulfillmentHandler: "manual-fulfillment",
    translations: [{ languageCode: en, name: "Post", description: "" }],
    checker: { code: "default-shipping-eligibility-checker", arguments: [{ name: "orderMinimum", value: "0" }] },
    calculator: { code: "default-shipping-calculator", arguments: [
      { name: "rate", value: "0" }, { name: "taxRate", value: "0" }, { name: "includesTax", value: "auto" }] } }) { id } }`);
  await admin.ask(`mutation { createPaymentMethod(input: { code: "till", enabled: true,
    translations: [{ languageCode: en, name: "Till", description: "" }],
    handler: { code: "dummy-payment-handler", arguments: [{ name: "automaticSettle", value: "true" }] } }) { id } }`);
  return async (sku) => {
    const product = await admin.ask(`mutation ($s: String!) { createProduct(input: { enabled: true,
      translations: [{ languageCode: en, name: $s, slug: $s, description: "" }] }) { id } }`, { s: sku });
    const [variant] = await admin.ask(`mutation ($p: ID!, $t: ID!, $n: Int!, $s: String!) { createProductVariants(input: [{
      productId: $p, sku: $s, price: 100, taxCategoryId: $t, stockOnHand: $n, trackInventory: TRUE,
      translations: [{ languageCode: en, name: $s }] }]) { id } }`, { p: product.id, t: tax.id, n: units, s: sku });
    return variant.id;
  };
}

/** Fills a cart, up to the till. */
async function cart(visitor, variant, number) {
  const failed = '__typename ... on ErrorResult { message }';
  await visitor.ask(`mutation ($v: ID!) { addItemToOrder(productVariantId: $v, quantity: 1) { ${failed} } }`, { v: variant });
  await visitor.ask(`mutation ($e: String!) { setCustomerForOrder(input: { emailAddress: $e, firstName: "A", lastName: "B" }) {
    ${failed} } }`, { e: `c${number}@example.com` });
  await visitor.ask(`mutation { setOrderShippingAddress(input: { streetLine1: "1", countryCode: "GB" }) { ${failed} } }`);
  const [method] = await visitor.ask('{ eligibleShippingMethods { id } }');
  await visitor.ask(`mutation ($m: [ID!]!) { setOrderShippingMethod(shippingMethodId: $m) { ${failed} } }`, { m: [method.id] });
}

/** Whether the shop lets the visitor pay. */
async function till(visitor) {
  const order = await visitor.ask(`mutation { transitionOrderToState(state: "ArrangingPayment") {
    ... on Order { state } ... on ErrorResult { message } } }`);
  return order?.state === 'ArrangingPayment';
}

/** Whether the order is paid. */
async function pay(visitor) {
  try {
    const order = await visitor.ask(`mutation { addPaymentToOrder(input: { method: "till", metadata: {} }) {
      ... on Order { state } ... on ErrorResult { message } } }`);
    return order?.state === 'PaymentSettled';
  } catch {
    return false;
  }
}

/** Stock on hand and allocated, as the shop's own books have it. */
async function books(admin, variant) {
  const { stockLevels: [level] } = await admin.ask(
    'query ($v: ID!) { productVariant(id: $v) { stockLevels { stockOnHand stockAllocated } } }', { v: variant });
  return level;
}

async function buy(variant, number) {
  const visitor = new Visitor('shop-api');
  try {
    await cart(visitor, variant, number);
    return await till(visitor) && await pay(visitor);
  } catch {
    return false;
  }
}

const admin = new Visitor('admin-api');
const make = await open(admin);
const turns = await make('in-turn');
let inTurn = 0;
for (let number = 0; number < customers; number++) inTurn += Number(await buy(turns, number));

const variant = await make('at-once');
const visitors = Array.from({ length: customers }, () => new Visitor('shop-api'));
for (const [number, visitor] of visitors.entries()) await cart(visitor, variant, customers + number);
const begun = performance.now();
const admitted = (await Promise.all(visitors.map(till))).filter(Boolean).length;
const paid = (await Promise.all(visitors.map(pay))).filter(Boolean).length;
const seconds = (performance.now() - begun) / 1000;
const { stockOnHand, stockAllocated } = await books(admin, variant);
console.log(JSON.stringify({ customers, units, inTurn, admitted, paid, stockOnHand, stockAllocated, seconds }));
