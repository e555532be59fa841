// eureka-js-client: JSON only; deltas, heartbeats, re-registration.
const { Eureka } = require('../lib/index');
const { expect } = require('chai');

const registry = new URL(process.env.EUREKA_URL);

function client(app, id, more = {}) {
  return new Eureka({
    instance: {
      app,
      instanceId: id,
      hostName: 'localhost',
      ipAddr: '127.0.0.1',
      port: { $: 8080, '@enabled': true },
      vipAddress: app,
      statusPageUrl: 'http://localhost:8080/info',
      dataCenterInfo: { '@class': 'com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo', name: 'MyOwn' },
      ...more.instance,
    },
    eureka: {
      host: registry.hostname,
      port: registry.port,
      servicePath: `${registry.pathname}/apps/`,
      heartbeatInterval: 500,
      registryFetchInterval: 300,
      waitForRegistry: true,
      ...more.eureka,
    },
  });
}

const start = (eureka) => new Promise((done, fail) => eureka.start((error) => (error ? fail(error) : done())));
const stop = (eureka) => new Promise((done) => eureka.stop(done));
const event = (eureka, name) => new Promise((done) => eureka.once(name, done));

describe('Eureka', () => {
  for (const useDelta of [false, true]) {
    it(`tells of instances that come and go (${useDelta ? 'delta' : 'full'})`, async () => {
      const watcher = client('js-watcher', 'w1', { eureka: { useDelta } });
      const other = client('js-other', `o-${useDelta}`);
      await start(watcher);
      await start(other);
      await event(watcher, 'registryUpdated');
      await event(watcher, 'registryUpdated');
      expect(watcher.getInstancesByAppId('JS-OTHER').map((one) => one.instanceId)).to.eql([`o-${useDelta}`]);
      expect(watcher.getInstancesByVipAddress('js-other')).to.have.length(1);
      const [seen] = watcher.getInstancesByAppId('JS-OTHER');
      expect(seen.port).to.eql({ $: 8080, '@enabled': 'true' });
      await stop(other);
      await event(watcher, 'registryUpdated');
      await event(watcher, 'registryUpdated');
      expect(watcher.getInstancesByAppId('JS-OTHER')).to.eql([]);
      await stop(watcher);
    });
  }

  it('keeps an instance by heartbeats', async () => {
    const eureka = client('js-beats', 'b1', { instance: { leaseInfo: { renewalIntervalInSecs: 1, durationInSecs: 1 } } });
    await start(eureka);
    for (let beats = 0; beats < 4; beats += 1) await event(eureka, 'heartbeat');
    await event(eureka, 'registryUpdated');
    expect(eureka.getInstancesByAppId('JS-BEATS')).to.have.length(1);
    await stop(eureka);
  });

  it('registers again when the registry has forgotten it', async () => {
    const eureka = client('js-again', 'a1');
    await start(eureka);
    await fetch(`${process.env.EUREKA_URL}/apps/JS-AGAIN/a1`, { method: 'DELETE' });
    await event(eureka, 'registered');
    await event(eureka, 'registryUpdated');
    await event(eureka, 'registryUpdated');
    expect(eureka.getInstancesByAppId('JS-AGAIN')).to.have.length(1);
    await stop(eureka);
  });

  it('refuses an incomplete registration with a reason', async () => {
    const answer = await fetch(`${process.env.EUREKA_URL}/apps/JS-BAD`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ instance: { app: 'JS-BAD', instanceId: 'x', hostName: 'h' } }),
    });
    expect([answer.status, await answer.text()]).to.eql([400, 'Missing ip address']);
  });
});
