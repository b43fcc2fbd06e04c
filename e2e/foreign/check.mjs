// `vestibule check scim` against servers that others wrote. It has to find what is known to be wrong with them: a check that
// finds nothing there has stopped looking.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import path from "node:path";
import { test } from "node:test";
import { binary, freePort, until } from "../lib/vestibule.mjs";

const here = import.meta.dirname;
const token = "foreign-token-0123456789abcdef";

// Checks of force MUST that fail on the pinned versions, by id; docs/scim-tools.md says what they are.
const known = {
  scimmy: "H-06 C-01 C-08 R-16 L-02 L-04 L-07 F-04 X-23 B-04".split(" "),
  "scim2-server": "C-08 C-13 C-15 R-11 R-16 X-01 D-02 S-02 B-12".split(" "),
};

const servers = {
  scimmy: (port) => [process.execPath, [path.join(here, "scimmy.mjs"), port, token], "/scim/v2"],
  "scim2-server": (port) => [path.join(here, ".venv/bin/scim2-server"), ["--port", port, "--bearer-token", token], "/v2"],
};

for (const [name, start] of Object.entries(servers)) {
  test(`${name}: its known faults are found`, { timeout: 120_000 }, async () => {
    const port = String(await freePort());
    const [command, args, base] = start(port);
    const server = spawn(command, args, { stdio: "ignore" });
    try {
      const url = `http://127.0.0.1:${port}${base}`;
      await until(`${name} ready`, async () => (await fetch(`${url}/ServiceProviderConfig`, { headers: { authorization: `Bearer ${token}` } })).ok);
      const { stdout } = spawnSync(binary, ["check", "scim", "--base", url, "--token", token, "--json"], { encoding: "utf8", maxBuffer: 32 << 20, timeout: 100_000 });
      const { results } = JSON.parse(stdout);
      const failed = results.filter((r) => r.outcome === "failed");
      console.log(`${name}: ${results.filter((r) => r.outcome === "passed").length} of ${results.length} passed; failed: ${failed.map((r) => `${r.id} (${r.force})`).join(", ")}`);
      assert.deepEqual(known[name].filter((id) => !failed.some((r) => r.id === id)), []);
    } finally {
      server.kill();
    }
  });
}
