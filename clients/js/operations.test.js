import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ApiException, Webhook } from "svix";
import { eventually, methods, receive, serve, watched } from "./server.js";

const secretA = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const secretB = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";
const hour = 3600_000;
const ago = (ms) => new Date(Date.now() - ms);

const called = new Set();
const receivers = [];
let server, svix;

before(async () => {
  server = await serve();
  svix = watched(server.client(), called);
});

after(async () => {
  for (const r of receivers) await r.stop();
  await server?.stop();
});

async function receiver() {
  const r = await receive();
  receivers.push(r);
  return r;
}

// refused expects the client's own error with this status.
const refused = (call, status) =>
  assert.rejects(call, (e) => {
    assert.ok(e instanceof ApiException, String(e));
    assert.equal(e.code, status, e.message);
    return true;
  });

// verified is the body of a request that the official verification takes.
function verified(secret, request) {
  new Webhook(secret).verify(request.body, request.headers);
  return JSON.parse(request.body);
}

// shop makes an application whose endpoints may be on this machine, and an endpoint of it.
async function shop(uid, endpoint) {
  await svix.application.create({ name: uid, uid });
  await server.call("PATCH", `/app/${uid}`, { allowCidrs: ["127.0.0.0/8"] });
  return svix.endpoint.create(uid, endpoint);
}

const stands = (app, endpoint, id, status) =>
  eventually(`${id} has the status ${status}`, async () => {
    const page = await svix.messageAttempt.listAttemptedMessages(app, endpoint, { status });
    return page.data.some((m) => m.id === id && m.status === status);
  });

const finished = (id) => eventually(`task ${id} finishes`, async () => (await svix.backgroundTask.get(id)).status === "finished");

describe("the official client", { concurrency: false }, () => {
  test("health", () => svix.health.get());

  test("applications", async () => {
    const made = await svix.application.create({ name: "A", uid: "a", throttleRate: 50, metadata: { k: "v" } });
    assert.equal(made.throttleRate, 50);
    assert.deepEqual(made.metadata, { k: "v" });
    assert.ok(made.createdAt instanceof Date);
    await refused(svix.application.create({ name: "A", uid: "a" }), 409);
    assert.equal((await svix.application.getOrCreate({ name: "B", uid: "a" })).id, made.id);
    const once = await svix.application.create({ name: "once" }, { idempotencyKey: "k" });
    assert.deepEqual(await svix.application.create({ name: "twice" }, { idempotencyKey: "k" }), once);
    assert.equal((await svix.application.get("a")).id, made.id);
    assert.equal((await svix.application.upsert("a", { name: "A2", uid: "a" })).name, "A2");
    assert.equal((await svix.application.patch("a", { name: "A3", uid: null })).uid, null);
    const page = await svix.application.list({ limit: 1, order: "ascending" });
    assert.deepEqual([page.data[0].id, page.done], [made.id, false]);
    const next = await svix.application.list({ limit: 1, order: "ascending", iterator: page.iterator });
    assert.deepEqual([next.data[0].id, next.done], [once.id, true]);
    await svix.application.delete(made.id);
    await refused(svix.application.get(made.id), 404);
  });

  test("event types", async () => {
    const schemas = { 1: { type: "object", examples: [{ example: true }] } };
    const made = await svix.eventType.create({ name: "order.paid", description: "Paid", groupName: "order", featureFlags: ["beta", "vip"], schemas });
    assert.deepEqual([made.groupName, made.featureFlags, made.schemas], ["order", ["beta", "vip"], schemas]);
    await refused(svix.eventType.create({ name: "order.paid", description: "Paid" }), 409);
    assert.equal((await svix.eventType.upsert("order.paid", { description: "Paid in full", schemas })).description, "Paid in full");
    assert.equal((await svix.eventType.patch("order.paid", { deprecated: true })).deprecated, true);
    assert.equal((await svix.eventType.get("order.paid")).description, "Paid in full");
    const imported = await svix.eventType.importOpenapi({
      spec: { openapi: "3.1.0", info: { title: "t", version: "1" }, webhooks: { "pet.new": { post: { description: "A pet" } } } },
    });
    assert.deepEqual(imported.data.modified, ["pet.new"]);
    await svix.eventType.delete("pet.new");
    const all = await svix.eventType.list({ includeArchived: true, withContent: true, order: "ascending" });
    assert.deepEqual(all.data.map((e) => [e.name, e.archived]), [["order.paid", false], ["pet.new", true]]);
    await svix.eventType.delete("pet.new", { expunge: true });
    await refused(svix.eventType.get("pet.new"), 404);
  });

  test("endpoints", async () => {
    const r = await receiver();
    const made = await shop("endpoints", { url: r.url, uid: "main", secret: secretA, eventTypes: ["order.paid"], headers: { "x-first": "1" } });
    assert.deepEqual([made.url, made.uid, made.eventTypes, made.disabled], [r.url, "main", ["order.paid"], false]);
    const other = await svix.endpoint.create("endpoints", { url: `${r.url}/2` });
    assert.equal((await svix.endpoint.get("endpoints", "main")).id, made.id);
    assert.equal((await svix.endpoint.upsert("endpoints", "main", { url: r.url, uid: "main", description: "d", throttleRate: 9 })).throttleRate, 9);
    assert.equal((await svix.endpoint.patch("endpoints", other.id, { disabled: true })).disabled, true);
    const page = await svix.endpoint.list("endpoints", { order: "ascending" });
    assert.deepEqual(page.data.map((e) => e.id), [made.id, other.id]);
    assert.equal((await svix.endpoint.getSecret("endpoints", "main")).key, secretA);
    await svix.endpoint.rotateSecret("endpoints", "main", { key: secretB });
    assert.equal((await svix.endpoint.getSecret("endpoints", "main")).key, secretB);
    await svix.endpoint.setHeaders("endpoints", "main", { headers: { "x-shop": "17", authorization: "Basic eA==" } });
    await svix.endpoint.patchHeaders("endpoints", "main", { headers: { "x-more": "1" }, deleteHeaders: [] });
    const headers = await svix.endpoint.getHeaders("endpoints", "main");
    assert.deepEqual([Object.keys(headers.headers).sort(), headers.sensitive], [["x-more", "x-shop"], ["authorization"]]);
    const example = await svix.endpoint.sendExample("endpoints", "main", { eventType: "order.paid" });
    const got = await r.next(1);
    assert.deepEqual([got.headers["x-shop"], got.headers["webhook-id"] ?? got.headers["svix-id"]], ["17", example.id]);
    assert.deepEqual(verified(secretA, got), { example: true });
    assert.deepEqual(verified(secretB, got), { example: true });
    await eventually("the statistics count it", async () => (await svix.endpoint.getStats("endpoints", "main", { since: ago(24 * hour) })).success === 1);
    await svix.endpoint.delete("endpoints", other.id);
    await refused(svix.endpoint.get("endpoints", other.id), 404);
    await refused(svix.endpoint.create("endpoints", { url: "nonsense" }), 422);
  });

  test("messages", async () => {
    const r = await receiver();
    await shop("messages", { url: r.url, secret: secretA });
    const m = await svix.message.create("messages", { eventType: "order.paid", eventId: "e1", channels: ["a"], tags: ["t"], payload: { n: 1, s: "<é>" } }, { withContent: true });
    assert.deepEqual([m.eventId, m.channels, m.tags, m.payload], ["e1", ["a"], ["t"], { n: 1, s: "<é>" }]);
    assert.deepEqual(verified(secretA, await r.next(1)), { n: 1, s: "<é>" });
    await refused(svix.message.create("messages", { eventType: "order.paid", eventId: "e1", payload: {} }), 409);
    await refused(svix.message.create("nobody", { eventType: "order.paid", payload: {} }), 404);
    await svix.message.create("fresh", { eventType: "x", payload: {}, application: { name: "Fresh", uid: "fresh" } });
    const later = await svix.message.create("messages", { eventType: "order.due", payload: {}, deliverAt: new Date(Date.now() + hour) });
    assert.ok(later.deliverAt instanceof Date);
    assert.equal((await svix.message.get("messages", "e1")).id, m.id);
    const page = await svix.message.list("messages", { channel: "a", tag: "t", eventTypes: ["order.paid", "x"], withContent: false, after: ago(hour) });
    assert.deepEqual(page.data.map((x) => [x.id, x.payload]), [[m.id, {}]]);
    await svix.message.expungeContent("messages", m.id);
    assert.deepEqual((await svix.message.get("messages", m.id, { withContent: true })).payload, { expired: true });
    assert.equal(r.got.length, 1);
  });

  test("attempts", async () => {
    const r = await receiver();
    const ep = await shop("attempts", { url: r.url, uid: "main", secret: secretA });
    const m = await svix.message.create("attempts", { eventType: "order.paid", channels: ["a"], payload: { n: 1 } });
    await r.next(1);
    await stands("attempts", "main", m.id, 0);
    await svix.messageAttempt.resend("attempts", m.id, "main");
    assert.deepEqual(verified(secretA, await r.next(2)), { n: 1 });
    await eventually("two attempts are recorded", async () => (await svix.messageAttempt.listByMsg("attempts", m.id, { endpointId: ep.id })).data.length === 2);
    const page = await svix.messageAttempt.listByEndpoint("attempts", "main", { limit: 1, status: 0, statusCodeClass: 200, channel: "a", withContent: true, withMsg: true, eventTypes: ["order.paid"] });
    assert.deepEqual([page.done, page.data[0].response, page.data[0].msg.payload, page.data[0].statusText], [false, "heard", { n: 1 }, "success"]);
    const one = await svix.messageAttempt.get("attempts", m.id, page.data[0].id);
    assert.deepEqual([one.responseStatusCode, one.endpointId, one.triggerType], [200, ep.id, 1]);
    const there = await svix.messageAttempt.listAttemptedDestinations("attempts", m.id);
    assert.deepEqual(there.data.map((e) => [e.id, e.status]), [[ep.id, 0]]);
    await svix.messageAttempt.expungeContent("attempts", m.id, one.id);
    assert.equal((await svix.messageAttempt.get("attempts", m.id, one.id, { withContent: true })).response, "EXPUNGED");
  });

  test("recover, replay missing, bulk replay and their tasks", async () => {
    const r = await receiver();
    await shop("recovery", { url: r.url, uid: "main", secret: secretA });
    await server.call("PATCH", "/app/recovery/endpoint/main", { retrySchedule: [] });
    r.status = 500;
    const m = await svix.message.create("recovery", { eventType: "order.paid", payload: { n: 1 } });
    await stands("recovery", "main", m.id, 2);
    r.status = 200;
    const recovery = await svix.endpoint.recover("recovery", "main", { since: ago(hour) });
    assert.equal(recovery.task, "endpoint.recover");
    assert.deepEqual(verified(secretA, await r.next(2)), { n: 1 });
    await finished(recovery.id);
    const bulk = await svix.endpoint.bulkReplay("recovery", "main", { since: ago(hour), eventTypes: ["order.paid"] });
    await r.next(3);
    await finished(bulk.id);
    const late = await receiver();
    await svix.endpoint.create("recovery", { url: late.url, uid: "late", secret: secretB });
    const replay = await svix.endpoint.replayMissing("recovery", "late", { since: ago(hour) });
    assert.deepEqual(verified(secretB, await late.next(1)), { n: 1 });
    await finished(replay.id);
    const tasks = await svix.backgroundTask.list({ status: "finished", order: "ascending" });
    assert.deepEqual(tasks.data.map((x) => x.id), [recovery.id, bulk.id, replay.id]);
  });

  test("the poller", async () => {
    await svix.application.create({ name: "poller", uid: "poller" });
    await server.call("POST", "/app/poller/endpoint", { uid: "inbox", transport: "poll" });
    const ids = [];
    for (let n = 0; n < 3; n++) ids.push((await svix.message.create("poller", { eventType: "e", payload: { n } })).id);
    const first = await svix.message.poller.poll("poller", "inbox", { limit: 2 });
    assert.deepEqual([first.data.map((m) => m.id), first.data[0].payload, first.done], [ids.slice(0, 2), { n: 0 }, false]);
    const rest = await svix.message.poller.poll("poller", "inbox", { limit: 2, iterator: first.iterator });
    assert.deepEqual([rest.data.map((m) => m.id), rest.done], [ids.slice(2), true]);
    const mine = await svix.message.poller.consumerPoll("poller", "inbox", "nightly", { limit: 2 });
    assert.deepEqual(mine.data.map((m) => m.id), ids.slice(0, 2));
    await refused(svix.message.poller.consumerPoll("poller", "inbox", "nightly"), 409);
    const more = await svix.message.poller.consumerPoll("poller", "inbox", "nightly", { iterator: mine.iterator });
    assert.deepEqual(more.data.map((m) => m.id), ids.slice(2));
    await svix.message.poller.consumerSeek("poller", "inbox", "nightly", { after: ago(hour) });
    const again = await svix.message.poller.consumerPoll("poller", "inbox", "nightly");
    assert.deepEqual(again.data.map((m) => m.id), ids);
  });

  test("authentication", async () => {
    const access = await svix.authentication.appPortalAccess("portal", {
      application: { name: "Portal", uid: "portal" }, capabilities: ["ViewBase"], expiry: 3600, sessionId: "s",
    });
    const portal = watched(server.client(access.token), called);
    assert.equal((await portal.application.get("portal")).name, "Portal");
    await refused(portal.application.get("endpoints"), 404);
    await refused(portal.endpoint.create("portal", { url: "https://example.com/" }), 403);
    await portal.authentication.logout();
    await refused(portal.application.get("portal"), 401);
    const second = server.client((await svix.authentication.appPortalAccess("portal")).token);
    await second.application.get("portal");
    await svix.authentication.expireAll("portal", {});
    await eventually("the token has expired", () => second.application.get("portal").then(() => false, (e) => e.code === 401));
  });

  test("operational webhooks", async () => {
    const r = await receiver();
    const endpoint = svix.operationalWebhook.endpoint;
    const made = await endpoint.create({ url: r.url, uid: "ops", secret: secretA, eventTypes: ["endpoint.created"] });
    assert.deepEqual([made.uid, made.eventTypes], ["ops", ["endpoint.created"]]);
    assert.equal((await endpoint.get("ops")).id, made.id);
    assert.equal((await endpoint.upsert("ops", { url: r.url, uid: "ops", description: "d", eventTypes: ["endpoint.created"] })).description, "d");
    assert.deepEqual((await endpoint.list()).data.map((e) => e.id), [made.id]);
    await endpoint.setHeaders("ops", { headers: { "x-ops": "1" } });
    assert.deepEqual((await endpoint.getHeaders("ops")).headers, { "x-ops": "1" });
    await endpoint.rotateSecret("ops", { key: secretB });
    assert.equal((await endpoint.getSecret("ops")).key, secretB);
    const ep = await shop("told", { url: "https://example.com/", uid: "main" });
    const got = await r.next(1);
    assert.equal(got.headers["x-ops"], "1");
    const event = verified(secretB, got);
    assert.deepEqual([event.type, event.data.appUid, event.data.endpointId], ["endpoint.created", "told", ep.id]);
    await endpoint.delete("ops");
    await refused(endpoint.get("ops"), 404);
  });

  test("what the client has no method for", async () => {
    const a = await server.call("POST", "/app/messages/msg/batch", { messages: [{ eventType: "order.due", payload: {}, deliverAt: new Date(Date.now() + hour) }] });
    assert.equal(a.data[0].status, 202);
    assert.equal((await server.call("POST", `/app/messages/msg/${a.data[0].id}/cancel`)).canceled, 1);
    const task = await server.call("POST", "/msg/broadcast", { eventType: "news", payload: {} });
    await finished(task.id);
    const page = await svix.message.list("fresh", { eventTypes: ["news"] });
    assert.equal(page.data.length, 1);
    assert.ok((await server.call("GET", "/event-type")).data.length > 0);
  });
});

// What only hosted Svix has: what the names begin with, and why Waypost has it not.
const hostedOnly = {
  "autoconfigSubscription.": "sets up endpoints from Svix's own pages",
  "authentication.stream": "streams are a product of its own",
  "authentication.rotateStreamPollerToken": "streams are a product of its own",
  "authentication.getStreamPollerToken": "streams are a product of its own",
  "connector.": "templates of Svix's transformations",
  "destination.": "deliveries to other than HTTP",
  "endpoint.transformation": "programs that change messages on their way",
  "environment.": "copies between Svix's environments: see `waypost export` and `apply`",
  "ingest.": "Svix's way to receive: sources are Waypost's",
  "integration.": "keys of Svix's partners: use an application's token",
  "message.precheck": "whether anybody wants an event type: publish it",
  "message.bulkExpungeContent": "expunge messages one by one, or by payloadRetentionHours",
  "message.expungeAllContents": "expunge messages one by one, or by payloadRetentionHours",
  "statistics.": "figures for Svix's bill: see /metrics",
  "streaming.": "streams are a product of its own",
};

test("every method of the client is driven, or only hosted Svix has it", () => {
  const isHosted = (name) => Object.keys(hostedOnly).some((prefix) => name.startsWith(prefix));
  const all = methods(server.client());
  assert.ok(all.length > 100, `only ${all.length} methods found`);
  assert.deepEqual(all.filter((name) => !called.has(name) && !isHosted(name)), [], "not driven");
  assert.deepEqual(all.filter((name) => called.has(name) && isHosted(name)), [], "listed as hosted only, but driven");
  const unused = Object.keys(hostedOnly).filter((prefix) => !all.some((name) => name.startsWith(prefix)));
  assert.deepEqual(unused, [], "listed, but not there");
});

test("what only hosted Svix has is refused", async () => {
  const client = server.client();
  for (const call of [
    () => client.message.expungeAllContents("messages"),
    () => client.integration.list("messages"),
    () => client.statistics.aggregateEventTypes(),
    () => client.streaming.stream.list(),
    () => client.endpoint.transformation.get("messages", "main"),
    () => client.environment.export(),
    () => client.connector.list(),
  ]) {
    await assert.rejects(call, (e) => e instanceof ApiException && (e.code === 404 || e.code === 405));
  }
});
