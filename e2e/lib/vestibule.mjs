// Starts Vestibule as its operator would: the binary, a configuration in the environment, one store, one node or several.
import { spawn, execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, writeFileSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { randomBytes } from "node:crypto";
import { DatabaseSync } from "node:sqlite";

export const binary = process.env.VESTIBULE_BIN ?? path.resolve(import.meta.dirname, "../../bin/vestibule");

/** The secrets that northwind.yaml asks the environment for. */
export const secrets = {
  NORTHWIND_SCIM_TOKEN: "northwind-scim-token-0123456789abcdef",
  FIELDSERV_SCIM_TOKEN: "fieldserv-scim-token-0123456789abcdef",
  NORTHWIND_OIDC_SECRET: "northwind-oidc-secret-0123456789abcdef",
  DASHBOARD_CLIENT_SECRET: "dashboard-client-secret-0123456789abcdef",
  FIELDSERV_SAML_METADATA: "https://idp.fieldserv.example/metadata",
};

/** A free port of the loopback interface. */
export async function freePort() {
  const server = http.createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** Waits until check answers something true, at most seconds long. */
export async function until(what, check, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  let last;
  while (Date.now() < end) {
    try {
      const got = await check();
      if (got) return got;
    } catch (error) {
      last = error;
    }
    await new Promise((next) => setTimeout(next, 25));
  }
  throw new Error(`${what}: not within ${seconds} s${last ? ` (${last.message})` : ""}`);
}

/** A store and a way to look at its rows from outside the product. */
async function makeStore(kind, dir) {
  if (kind === "sqlite") {
    const file = path.join(dir, "vestibule.db");
    return {
      url: `sqlite:${file}`,
      rows(sql) {
        const db = new DatabaseSync(file, { readOnly: true });
        try {
          return db.prepare(sql).all();
        } finally {
          db.close();
        }
      },
      /** Changes rows behind the product's back, as the passing of time would. */
      change(sql) {
        const db = new DatabaseSync(file);
        try {
          db.exec(sql);
        } finally {
          db.close();
        }
      },
      drop() {},
    };
  }
  const admin = process.env.VESTIBULE_TEST_POSTGRES;
  if (!admin) throw new Error("VESTIBULE_TEST_POSTGRES is not set; run the tests by scripts/test");
  const name = `e2e_${randomBytes(5).toString("hex")}`;
  const psql = (url, sql) => execFileSync("psql", [url, "-AtqX", "-v", "ON_ERROR_STOP=1", "-c", sql], { encoding: "utf8" });
  // An ordinary role: it owns its database and cannot bypass row-level security.
  psql(admin, `create role ${name} login nosuperuser nobypassrls`);
  psql(admin, `create database ${name} owner ${name}`);
  const own = new URL(admin);
  own.pathname = `/${name}`;
  const all = own.toString();
  own.username = name;
  const pooler = kind === "pooler" ? await startPooler(own, dir) : undefined;
  return {
    url: pooler?.url ?? own.toString(),
    direct: pooler && own.toString(),
    rows(sql) {
      return JSON.parse(psql(all, `select coalesce(json_agg(t), '[]') from (${sql}) t`));
    },
    change(sql) {
      psql(all, sql);
    },
    drop() {
      pooler?.stop();
      psql(admin, `drop database if exists ${name} with (force)`);
      psql(admin, `drop role if exists ${name}`);
    },
  };
}

/** A pgbouncer in transaction mode in front of one database, with few enough server connections that nodes share them. */
async function startPooler(own, dir) {
  const port = await freePort();
  const users = path.join(dir, "pgbouncer-users.txt");
  const settings = path.join(dir, "pgbouncer.ini");
  const name = own.pathname.slice(1);
  writeFileSync(users, `"${own.username}" ""\n`);
  writeFileSync(
    settings,
    `[databases]
${name} = host=127.0.0.1 port=${own.port} dbname=${name}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = transaction
default_pool_size = 4
${process.getuid() === 0 ? "user = postgres" : ""}
`,
  );
  chmodSync(dir, 0o755); // as root it becomes another user, who reads these two
  const running = spawn("pgbouncer", ["-q", settings], { stdio: "ignore", env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } });
  const through = new URL(own);
  through.port = String(port);
  await until("pgbouncer", () => execFileSync("psql", [through.toString(), "-AtqX", "-c", "select 1"], { stdio: ["ignore", "pipe", "ignore"] }));
  through.searchParams.set("pool", "transaction");
  return { url: through.toString(), stop: () => running.kill("SIGKILL") };
}

class Node {
  constructor(address, env) {
    this.address = address;
    this.output = "";
    this.process = spawn(binary, ["serve"], { env: { ...process.env, ...env, VESTIBULE_ADDR: address }, cwd: env.HOME });
    const keep = (chunk) => (this.output += chunk);
    this.process.stdout.on("data", keep);
    this.process.stderr.on("data", keep);
    this.exited = new Promise((done) => this.process.on("exit", (code, signal) => done({ code, signal })));
  }

  async ready() {
    await until(`node ${this.address} ready`, async () => {
      if (this.process.exitCode !== null) throw new Error(`it ended: ${this.output}`);
      return (await fetch(`http://${this.address}/readyz`)).ok;
    });
  }

  stop(signal = "SIGTERM") {
    if (this.process.exitCode === null && this.process.signalCode === null) this.process.kill(signal);
    return this.exited;
  }
}

/** A naive round-robin in front of several nodes: request by request, no stickiness. */
async function roundRobin(port, addresses) {
  let turn = 0;
  const server = http.createServer((request, response) => {
    const [host, nodePort] = addresses[turn++ % addresses.length].split(":");
    const onward = http.request(
      { host, port: nodePort, method: request.method, path: request.url, headers: request.headers },
      (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      },
    );
    onward.on("error", (error) => {
      response.statusCode = 502;
      response.end(error.message);
    });
    request.pipe(onward);
  });
  await new Promise((done) => server.listen(port, "127.0.0.1", done));
  return server;
}

/**
 * Starts an installation. kind is "sqlite", "postgres" or "pooler" (pgbouncer before it); nodes is how many share the store; environment is added to
 * that of every command; host is how people reach it (browsers know passkeys for names alone).
 */
export async function install({ kind = "sqlite", nodes = 1, environment = {}, host = "127.0.0.1" } = {}) {
  const dir = mkdtempSync(path.join(tmpdir(), "vestibule-e2e-"));
  const store = await makeStore(kind, dir);
  const port = await freePort();
  const url = `http://${host}:${port}`;
  const env = {
    ...secrets,
    HOME: dir,
    VESTIBULE_URL: url,
    VESTIBULE_DATABASE: store.url,
    ...(store.direct ? { VESTIBULE_DATABASE_DIRECT: store.direct } : {}),
    VESTIBULE_KEY: randomBytes(32).toString("base64"),
    VESTIBULE_ALLOW_PRIVATE_NETWORKS: "true",
    ...environment,
  };
  const command = (...args) => {
    try {
      const out = execFileSync(binary, args, { env: { ...process.env, ...env }, cwd: dir, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
      return { code: 0, out, text: out };
    } catch (error) {
      return { code: error.status, out: error.stdout, text: error.stdout + error.stderr };
    }
  };
  if (kind !== "sqlite") command("migrate");
  const running = [];
  const addresses = [];
  for (let i = 0; i < nodes; i++) addresses.push(nodes === 1 ? `127.0.0.1:${port}` : `127.0.0.1:${await freePort()}`);
  let balancer;
  const here = {
    dir,
    url,
    env,
    store,
    addresses,
    nodes: running,
    command,
    async start() {
      running.length = 0;
      for (const address of addresses) running.push(new Node(address, env));
      await Promise.all(running.map((node) => node.ready()));
      if (nodes > 1 && !balancer) balancer = await roundRobin(port, addresses);
      return here;
    },
    async stop(signal) {
      return Promise.all(running.map((node) => node.stop(signal)));
    },
    /** Writes a file next to the store and gives its path. */
    file(name, text) {
      const file = path.join(dir, name);
      writeFileSync(file, text);
      return file;
    },
    async remove() {
      await here.stop("SIGKILL");
      if (balancer) await new Promise((done) => (balancer.closeAllConnections(), balancer.close(done)));
      store.drop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
  return here;
}

/** A caller of one JSON API with a bearer token. */
export function caller(base, token, type = "application/json") {
  return async (method, where, body, headers = {}) => {
    const response = await fetch(base + where, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "content-type": type }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    let json;
    try {
      json = text ? JSON.parse(text) : undefined;
    } catch {
      json = undefined;
    }
    return { status: response.status, headers: response.headers, text, json };
  };
}
