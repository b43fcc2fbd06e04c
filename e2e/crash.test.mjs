// What was acknowledged is there: a node killed while five hundred people are being pushed, and started again.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { caller, install, secrets } from "./lib/vestibule.mjs";
import { entraUser, northwindYAML } from "./lib/northwind.mjs";

for (const kind of ["sqlite", "postgres"]) {
  describe(`SIGKILL while 500 users are pushed, on ${kind}`, { timeout: 120_000 }, () => {
    test("every acknowledged user is there and nothing is half-written", async () => {
      const here = await install({ kind, environment: { NORTHWIND_OIDC_ISSUER: "https://login.northwind.example" } });
      try {
        const applied = here.command("apply", here.file("northwind.yaml", northwindYAML.replace("seat_limit: 500", "seat_limit: 5000")));
        assert.equal(applied.code, 0, applied.text);
        await here.start();
        const entra = caller(`${here.url}/scim/northwind/entra/v2`, secrets.NORTHWIND_SCIM_TOKEN, "application/scim+json");
        const acknowledged = new Map();
        let next = 0;
        let killed = false;
        const worker = async () => {
          while (!killed && next < 500) {
            const name = `person${next++}`;
            try {
              const answer = await entra("POST", "/Users", entraUser(name));
              if (answer.status === 201) acknowledged.set(name, answer.json.id);
              if (acknowledged.size === 200 && !killed) {
                killed = true;
                here.nodes[0].stop("SIGKILL");
              }
            } catch (error) {
              assert.ok(killed, `before the kill: ${error.message}`);
            }
          }
        };
        await Promise.all(Array.from({ length: 16 }, worker));
        assert.ok(killed && acknowledged.size >= 200);
        await here.nodes[0].exited;
        await here.start();
        for (const [name, id] of acknowledged) {
          const answer = await entra("GET", `/Users/${id}`);
          assert.equal(answer.status, 200, `${name} was acknowledged`);
          assert.equal(answer.json.userName, `${name}@northwind.example`);
          assert.equal(answer.json.emails[0].value, `${name}@northwind.example`);
        }
        const number = (sql) => Number(here.store.rows(sql)[0].n);
        const users = number("select count(*) as n from users");
        assert.ok(users >= acknowledged.size);
        assert.equal(number("select count(*) as n from directory_records"), users, "a record for each user");
        assert.equal(number("select count(*) as n from record_emails"), users, "an address for each record");
        assert.equal(number("select count(*) as n from audit where action = 'user.created'"), users, "an event for each user");
        assert.equal(number("select count(*) as n from users where not exists (select 1 from directory_records r where r.organization = users.organization and r.user_id = users.id)"), 0);
      } finally {
        await here.remove();
      }
    });
  });
}
