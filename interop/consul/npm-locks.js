// Keys, sessions, locks and transactions by the published npm package `consul`: node npm-locks.js URL
"use strict";

const assert = require("node:assert");
const Consul = require("consul");

const url = new URL(process.argv[2]);
const consul = new Consul({ host: url.hostname, port: url.port, secure: url.protocol === "https:" });
const key = (name) => `npm-locks/${process.pid}/${name}`;
const once = (emitter, event) =>
  new Promise((resolve, reject) => {
    emitter.once(event, resolve);
    if (event !== "error") emitter.once("error", reject);
  });

const cases = {
  async "a value comes back, and is gone after its deletion"() {
    assert.strictEqual(await consul.kv.set(key("a"), "1"), true);
    assert.strictEqual((await consul.kv.get(key("a"))).Value, "1");
    assert.strictEqual(await consul.kv.get({ key: key("a"), raw: true }).then(String), "1");
    assert.deepStrictEqual(await consul.kv.keys(key("")), [key("a")]);
    await consul.kv.del(key("a"));
    assert.strictEqual(await consul.kv.get(key("a")), undefined);
  },
  async "check and set takes the index"() {
    assert.strictEqual(await consul.kv.set({ key: key("cas"), value: "1", cas: "0" }), true);
    const { ModifyIndex } = await consul.kv.get(key("cas"));
    // The package makes nothing of the answer `false`.
    assert.ok(!(await consul.kv.set({ key: key("cas"), value: "2", cas: String(ModifyIndex - 1) })));
    assert.strictEqual(await consul.kv.set({ key: key("cas"), value: "2", cas: String(ModifyIndex) }), true);
  },
  async "sessions are made, renewed, listed and destroyed"() {
    const { ID } = await consul.session.create({ name: "npm", ttl: "15s", lockdelay: "0s" });
    assert.strictEqual((await consul.session.get(ID)).ID, ID);
    assert.ok((await consul.session.list()).some((session) => session.ID === ID));
    assert.strictEqual((await consul.session.renew(ID))[0].ID, ID);
    await consul.session.destroy(ID);
    assert.strictEqual(await consul.session.get(ID), undefined);
  },
  async "a lock belongs to one session at a time"() {
    const sessions = [];
    for (const name of ["a", "b"]) sessions.push((await consul.session.create({ name, lockdelay: "0s" })).ID);
    const take = (acquire) => consul.kv.set({ key: key("lock"), value: "x", acquire });
    assert.strictEqual(await take(sessions[0]), true);
    assert.ok(!(await take(sessions[1])));
    await consul.session.destroy(sessions[0]);
    assert.strictEqual(await take(sessions[1]), true);
    assert.strictEqual((await consul.kv.get(key("lock"))).LockIndex, 2);
    await consul.session.destroy(sessions[1]);
  },
  async "a watch hears of a change"() {
    await consul.kv.set(key("watched"), "1");
    const watch = consul.watch({ method: consul.kv.get, options: { key: key("watched") }, backoffFactor: 10 });
    assert.strictEqual((await once(watch, "change")).Value, "1");
    const changed = once(watch, "change");
    await consul.kv.set(key("watched"), "2");
    assert.strictEqual((await changed).Value, "2");
    watch.end();
  },
  async "a transaction is all or nothing"() {
    const value = Buffer.from("1").toString("base64");
    const set = (name) => ({ KV: { Verb: "set", Key: key(name), Value: value } });
    const done = await consul.transaction.create([set("t1"), { KV: { Verb: "get", Key: key("t1") } }]);
    assert.strictEqual(done.Results[1].KV.Value, value);
    await assert.rejects(consul.transaction.create([set("t2"), { KV: { Verb: "get", Key: key("t3") } }]), /conflict/i);
    assert.strictEqual(await consul.kv.get(key("t2")), undefined);
  },
  async "prepared queries are kept"() {
    const { ID } = await consul.query.create({ name: `npm-${process.pid}`, service: { service: "nobody" } });
    assert.strictEqual((await consul.query.get(ID)).Service.Service, "nobody");
    assert.deepStrictEqual((await consul.query.execute(ID)).Nodes, []);
    await consul.query.destroy(ID);
  },
};

(async () => {
  let failed = 0;
  for (const [name, run] of Object.entries(cases)) {
    try {
      await run();
      console.log(`ok     ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED ${name}: ${error.stack}`);
    }
  }
  console.log(`${Object.keys(cases).length - failed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
})();
