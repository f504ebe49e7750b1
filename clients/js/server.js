// A Waypost server in a process of its own, a developer's server, and the official client of the first.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createHTTP } from "node:http";
import { createServer as createTCP } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Svix } from "svix";

const token = "wp_a_token_for_the_tests_of_client_libraries";
const patience = 60_000; // for what a busy machine does late; a pass does not wait for it

// eventually waits for a condition.
export async function eventually(what, is) {
  const end = Date.now() + patience;
  for (;;) {
    const value = await is();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${patience} ms: ${what}`);
    await sleep(10);
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createTCP();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// serve builds and starts the program with its defaults, but for its addresses, its folder and the address that its operator listens on.
export async function serve() {
  const folder = mkdtempSync(join(tmpdir(), "waypost-clients-"));
  const binary = join(folder, "waypost");
  execFileSync("go", ["build", "-o", binary, "./cmd/waypost"], { cwd: join(import.meta.dirname, "../.."), stdio: "inherit" });
  const [admin, open] = [await freePort(), await freePort()];
  const args = ["serve", "--data", join(folder, "data"), "--admin", `127.0.0.1:${admin}`, "--listen", `127.0.0.1:${open}`, "--operational-allow", "127.0.0.0/8"];
  const program = spawn(binary, args, { env: { ...process.env, WAYPOST_TOKEN: token } });
  let log = "";
  program.stdout.on("data", (text) => (log += text));
  program.stderr.on("data", (text) => (log += text));
  const ended = new Promise((resolve) => program.on("exit", resolve));
  const base = `http://127.0.0.1:${admin}`;
  await eventually("the server answers", async () => {
    if (program.exitCode !== null) throw new Error(`the server ended:\n${log}`);
    return fetch(`${base}/api/v1/health/ping`).then((r) => r.status === 204, () => false);
  });
  return {
    base,
    client: (by = token) => new Svix(by, { serverUrl: base, numRetries: 0 }),
    // call makes a request of an operation that the client has no method for.
    async call(method, path, body) {
      const headers = { authorization: `Bearer ${token}` };
      const r = await fetch(`${base}/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
      const text = await r.text();
      if (!r.ok) throw new Error(`${method} ${path}: ${r.status} ${text}`);
      return text && JSON.parse(text);
    },
    async stop() {
      program.kill("SIGINT");
      const code = await ended;
      rmSync(folder, { recursive: true });
      if (code !== 0) throw new Error(`the server ended with ${code}:\n${log}`);
    },
  };
}

// receive starts a developer's server. It answers with its status, which may be changed.
export async function receive() {
  const got = [];
  const receiver = { status: 200, got };
  const server = createHTTP((request, response) => {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      got.push({ headers: request.headers, body: Buffer.concat(parts).toString() });
      response.writeHead(receiver.status).end("heard");
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  receiver.url = `http://127.0.0.1:${server.address().port}`;
  // next waits for the request of this number, from 1 on.
  receiver.next = async (n) => {
    await eventually(`request ${n} arrives`, () => got.length >= n);
    return got[n - 1];
  };
  receiver.stop = () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve)));
  return receiver;
}

const hidden = new Set(["constructor", "requestCtx", "_configuration"]);

function members(object) {
  const names = [...Object.keys(object), ...Object.getOwnPropertyNames(Object.getPrototypeOf(object))];
  return names.filter((name) => !hidden.has(name));
}

// methods are the names of all methods of a client, as message.poller.poll.
export function methods(client, prefix = "") {
  return members(client).flatMap((name) => {
    const value = client[name];
    if (typeof value === "function") return [prefix + name];
    return value && typeof value === "object" ? methods(value, `${prefix}${name}.`) : [];
  });
}

// watched is a client that notes which of its methods were called and succeeded.
export function watched(client, called, prefix = "") {
  return new Proxy(client, {
    get(target, name) {
      const value = target[name];
      if (typeof value === "function") {
        return async (...args) => {
          const out = await value.apply(target, args);
          called.add(prefix + String(name));
          return out;
        };
      }
      return value && typeof value === "object" && !hidden.has(name) ? watched(value, called, `${prefix}${String(name)}.`) : value;
    },
  });
}
