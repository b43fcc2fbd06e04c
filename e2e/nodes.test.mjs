// Two nodes on one PostgreSQL, with a balancer that sends each request to the other one: a provider that walks through
// everybody while people come and go loses nobody, and one userName is given once. `make walk` runs it at full size.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { caller, install, until } from "./lib/vestibule.mjs";

const people = Number(process.env.VESTIBULE_WALK ?? 2000);
const churn = people / 10; // so many go, and so many come
const page = 100;
const token = "nodes-token-0123456789abcdef";
const configuration = `version: 1
organizations:
  - id: acme
    name: Acme
    directories:
      - id: rfc
        name: Any provider
        dialect: rfc
        tokens: [{id: main, secret: {env: NODES_TOKEN}}]
        rate_limit: {per_minute: 10000000}
        brake: {percent: 100, minimum: 1000000}
`;

/** Runs work for each item, so many at once. */
async function each(items, at, work) {
  const rest = items[Symbol.iterator]();
  await Promise.all(Array.from({ length: at }, async () => { for (const item of rest) await work(item); }));
}

describe("two nodes", { timeout: 900_000 }, () => {
  let here, scim;
  before(async () => {
    here = await install({ kind: "postgres", nodes: 2, environment: { NODES_TOKEN: token } });
    const applied = here.command("apply", here.file("acme.yaml", configuration));
    assert.equal(applied.code, 0, applied.text);
    await here.start();
    scim = caller(`${here.url}/scim/acme/rfc/v2`, token, "application/scim+json");
  });
  after(() => here?.remove());

  const create = (userName) => scim("POST", "/Users", { schemas: ["urn:ietf:params:scim:schemas:core:2.0:User"], userName, displayName: userName });

  test("of 32 creates of one userName at the same moment one succeeds", async () => {
    for (let round = 0; round < 5; round++) {
      const answers = await Promise.all(Array.from({ length: 32 }, () => create(`race${round}@acme.example`)));
      const got = Object.groupBy(answers, (a) => a.status);
      assert.deepEqual({ 201: got[201]?.length, 409: got[409]?.length }, { 201: 1, 409: 31 }, JSON.stringify(Object.keys(got)));
      assert.ok(got[409].every((a) => a.json.scimType === "uniqueness"));
      const found = await scim("GET", `/Users?filter=${encodeURIComponent(`userName eq "race${round}@acme.example"`)}`);
      assert.equal(found.json.totalResults, 1);
      await scim("DELETE", `/Users/${found.json.Resources[0].id}`);
    }
  });

  test(`walks through ${people} users lose nobody while ${churn} go and ${churn} come`, async () => {
    const started = Date.now();
    const ids = [];
    await each(Array.from({ length: people }, (_, i) => i), 16, async (i) => {
      const made = await create(`person${i}@acme.example`);
      assert.equal(made.status, 201, JSON.stringify(made.json));
      ids.push(made.json.id);
    });
    const pushed = Date.now();
    ids.sort();
    // Who goes stands all over the list, and most of them at its beginning, which shifts the rest most.
    const going = ids.filter((_, i) => (i < people / 4 ? i % 4 === 0 : i % 20 === 0)).slice(0, churn);
    const stay = new Set(ids);
    for (const id of going) stay.delete(id);

    const byIndex = new Map();
    const byCursor = new Map();
    const see = (seen, list) => list.forEach(({ id }) => seen.set(id, (seen.get(id) ?? 0) + 1));
    const indexed = async (startIndex) => {
      const { status, json } = await scim("GET", `/Users?startIndex=${startIndex}&count=${page}&attributes=userName`);
      assert.equal(status, 200, JSON.stringify(json));
      see(byIndex, json.Resources);
      const next = startIndex + json.itemsPerPage;
      return json.itemsPerPage === 0 || next > json.totalResults ? 0 : next; // as a provider does that trusts the total
    };
    const pointed = async (cursor) => {
      const { status, json } = await scim("GET", `/Users?cursor=${cursor}&count=${page}&attributes=userName`);
      assert.equal(status, 200, JSON.stringify(json));
      see(byCursor, json.Resources);
      return json.nextCursor;
    };
    const steps = Math.ceil(people / page);
    let start = 1;
    let cursor = "";
    let gone = 0;
    let came = 0;
    for (let step = 0; start || cursor !== undefined; step++) {
      const now = Math.min(churn, Math.ceil((churn * (step + 1)) / steps));
      const departures = going.slice(gone, now);
      const arrivals = Array.from({ length: now - came }, (_, i) => came + i);
      [gone, came] = [now, now];
      [start, cursor] = await Promise.all([
        start ? indexed(start) : 0,
        cursor === undefined ? undefined : pointed(cursor),
        each(departures, 4, async (id) => assert.equal((await scim("DELETE", `/Users/${id}`)).status, 204)),
        each(arrivals, 4, async (i) => assert.equal((await create(`late${i}@acme.example`)).status, 201)),
      ]);
    }
    assert.equal(gone, churn);
    const lost = (seen) => [...stay].filter((id) => !seen.has(id)).length;
    const twice = (seen) => [...seen.values()].filter((n) => n > 1).length;
    console.log(`${people} pushed in ${pushed - started} ms, walked twice with ${churn} going and ${churn} coming in ${Date.now() - pushed} ms; by index ${twice(byIndex)} met twice`);
    assert.deepEqual({ index: lost(byIndex), cursor: lost(byCursor), twiceByCursor: twice(byCursor) }, { index: 0, cursor: 0, twiceByCursor: 0 });
    await until("the walks stand in the store", () => here.store.rows("select means from walks where kind = 'User' and means = 'listed' and finished is not null").length === 1);
    await until("an exact total", async () => (await scim("GET", "/Users?count=1")).json.totalResults === people);
  });
});
