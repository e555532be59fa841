// What npm's `consul` does of agent, catalog, health, status, events and watches. Prints one line per case.
"use strict";
const assert = require("assert");
const Consul = require("consul");

const url = new URL(process.argv[2]);
const consul = new Consul({ host: url.hostname, port: Number(url.port) });

const cases = {
  "status.leader is an address": async () => assert.match(await consul.status.leader(), /:\d+$/),
  "status.peers lists the leader": async () =>
    assert.ok((await consul.status.peers()).includes(await consul.status.leader())),
  "agent.self names the node": async () => assert.ok((await consul.agent.self()).Config.NodeName),
  "agent.members has the agent": async () => assert.ok((await consul.agent.members()).length >= 1),
  "agent.service.register and list": async () => {
    await consul.agent.service.register({ name: "npm", id: "npm-1", port: 80, tags: ["a"], check: { ttl: "10s" } });
    assert.strictEqual((await consul.agent.service.list())["npm-1"].Port, 80);
  },
  "agent.check.list, warn, fail, pass": async () => {
    const status = async () => (await consul.agent.check.list())["service:npm-1"].Status;
    assert.strictEqual(await status(), "critical");
    await consul.agent.check.warn("service:npm-1");
    assert.strictEqual(await status(), "warning");
    await consul.agent.check.fail({ id: "service:npm-1", note: "broken" });
    assert.strictEqual(await status(), "critical");
    await consul.agent.check.pass("service:npm-1");
    assert.strictEqual(await status(), "passing");
  },
  "health.service with passing and tag": async () => {
    const found = await consul.health.service({ service: "npm", passing: true, tag: "a" });
    assert.deepStrictEqual(found.map((entry) => entry.Service.ID), ["npm-1"]);
  },
  "health.checks and health.state": async () => {
    assert.strictEqual((await consul.health.checks("npm")).length, 1);
    assert.ok((await consul.health.state("passing")).some((check) => check.ServiceID === "npm-1"));
  },
  "catalog.service.list and nodes": async () => {
    assert.deepStrictEqual((await consul.catalog.service.list()).npm, ["a"]);
    assert.strictEqual((await consul.catalog.service.nodes("npm"))[0].ServicePort, 80);
  },
  "catalog.datacenters and node.list": async () => {
    assert.ok((await consul.catalog.datacenters()).length >= 1);
    assert.ok((await consul.catalog.node.list()).length >= 1);
  },
  "agent.service.maintenance": async () => {
    await consul.agent.service.maintenance({ id: "npm-1", enable: true, reason: "test" });
    assert.ok((await consul.agent.check.list())["_service_maintenance:npm-1"]);
    await consul.agent.service.maintenance({ id: "npm-1", enable: false });
    assert.ok(!(await consul.agent.check.list())["_service_maintenance:npm-1"]);
  },
  "agent.check.register and deregister": async () => {
    await consul.agent.check.register({ name: "disk", ttl: "10s" });
    assert.ok((await consul.agent.check.list()).disk);
    await consul.agent.check.deregister("disk");
  },
  "catalog.register and deregister": async () => {
    await consul.catalog.register({ node: "npm-vm", address: "192.0.2.7", service: { service: "npm-db" } });
    assert.strictEqual((await consul.catalog.service.nodes("npm-db"))[0].Node, "npm-vm");
    await consul.catalog.deregister("npm-vm");
    assert.strictEqual((await consul.catalog.service.nodes("npm-db")).length, 0);
  },
  "event.fire and list": async () => {
    const fired = await consul.event.fire("npm-deploy", "body");
    const listed = await consul.event.list("npm-deploy");
    assert.strictEqual(listed[listed.length - 1].ID, fired.ID);
  },
  "watch sees a registration": async () => {
    const watch = consul.watch({ method: consul.health.service, options: { service: "npm", wait: "10s" } });
    const seen = new Promise((resolve, reject) => {
      watch.on("error", reject);
      watch.on("change", (data) => data.length === 2 && resolve());
    });
    await new Promise((resolve) => watch.once("change", resolve));
    await consul.agent.service.register({ name: "npm", id: "npm-2", port: 81 });
    await seen;
    watch.end();
  },
  "agent.service.deregister": async () => {
    await consul.agent.service.deregister("npm-1");
    await consul.agent.service.deregister("npm-2");
    assert.strictEqual((await consul.health.service("npm")).length, 0);
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
      console.log(`FAILED ${name}: ${error.message}`);
    }
  }
  console.log(`${Object.keys(cases).length - failed} of ${Object.keys(cases).length} passed`);
  process.exit(failed ? 1 : 0);
})();
