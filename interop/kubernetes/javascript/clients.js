// Drives a cluster with the official JavaScript client, as programs use it. Needs KUBECONFIG of an
// administrator. Prints one line per check.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import * as k8s from '@kubernetes/client-node';

const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);
const namespace = `javascript-${randomBytes(3).toString('hex')}`;
let failures = 0;

async function check(name, run) {
    const started = performance.now();
    try {
        await run();
        console.log(`ok   ${name} (${Math.round(performance.now() - started)} ms)`);
    } catch (error) {
        failures += 1;
        console.log(`FAIL ${name}: ${String(error.stack ?? error).slice(0, 800)}`);
    }
}

const configMap = (name, data) => ({ metadata: { name, labels: { javascript: 'yes' } }, data });

await core.createNamespace({ body: { metadata: { name: namespace } } });

await check('versions and groups', async () => {
    assert.equal((await config.makeApiClient(k8s.VersionApi).getCode()).major, '1');
    const groups = await config.makeApiClient(k8s.ApisApi).getAPIVersions();
    assert(groups.groups.some((group) => group.name === 'apps'));
});

await check('typed objects', async () => {
    const made = await core.createNamespacedConfigMap({ namespace, body: configMap('a', { a: 'b' }) });
    assert(made.metadata.creationTimestamp instanceof Date);
    made.data.c = 'd';
    await core.replaceNamespacedConfigMap({ name: 'a', namespace, body: made });
    await assert.rejects(core.replaceNamespacedConfigMap({ name: 'a', namespace, body: made }), { code: 409 });
    const patch = [{ op: 'remove', path: '/data/a' }];
    const patched = await core.patchNamespacedConfigMap({ name: 'a', namespace, body: patch });
    assert.deepEqual(patched.data, { c: 'd' });
    const merged = await core.patchNamespacedConfigMap(
        { name: 'a', namespace, body: { data: { e: 'f' } } },
        k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.StrategicMergePatch),
    );
    assert.deepEqual(merged.data, { c: 'd', e: 'f' });
    const list = await core.listNamespacedConfigMap({ namespace, labelSelector: 'javascript=yes' });
    assert.equal(list.items.length, 1);
    assert.equal((await core.deleteNamespacedConfigMap({ name: 'a', namespace })).status, 'Success');
    await assert.rejects(core.readNamespacedConfigMap({ name: 'a', namespace }), { code: 404 });
});

await check('scale', async () => {
    const labels = { app: 'web' };
    const template = { metadata: { labels }, spec: { containers: [{ name: 'c', image: 'i' }] } };
    const body = { metadata: { name: 'web' }, spec: { replicas: 0, selector: { matchLabels: labels }, template } };
    await apps.createNamespacedDeployment({ namespace, body });
    for (;;) {
        const scale = await apps.readNamespacedDeploymentScale({ name: 'web', namespace });
        assert.equal(scale.spec.replicas ?? 0, 0);
        try {
            await apps.replaceNamespacedDeploymentScale({ name: 'web', namespace, body: scale });
            break;
        } catch (error) {
            // The controller, where there is one, may have written the status meanwhile.
            if (error.code !== 409) throw error;
        }
    }
    await apps.deleteNamespacedDeployment({ name: 'web', namespace });
});

await check('generic objects', async () => {
    const client = k8s.KubernetesObjectApi.makeApiClient(config);
    const object = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'generic', namespace }, data: { a: 'b' } };
    await client.create(object);
    const applied = await client.patch(
        { ...object, data: { c: 'd' } }, undefined, undefined, 'javascript', true, k8s.PatchStrategy.ServerSideApply,
    );
    assert.deepEqual(applied.data, { a: 'b', c: 'd' });
    assert.equal((await client.read(object)).metadata.name, 'generic');
    await client.delete(object);
});

await check('informers', async () => {
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const informer = k8s.makeInformer(config, path, () => core.listNamespacedConfigMap({ namespace }));
    const seen = (event, name) => new Promise((resolve) => {
        informer.on(event, (object) => object.metadata.name === name && resolve());
    });
    const [added, changed, deleted] = ['add', 'update', 'delete'].map((event) => seen(event, 'informed'));
    await informer.start();
    const made = await core.createNamespacedConfigMap({ namespace, body: configMap('informed', {}) });
    await added;
    made.data = { a: 'b' };
    await core.replaceNamespacedConfigMap({ name: 'informed', namespace, body: made });
    await changed;
    await core.deleteNamespacedConfigMap({ name: 'informed', namespace });
    await deleted;
    await informer.stop();
});

await check('watches', async () => {
    const watch = new k8s.Watch(config);
    let request;
    const event = new Promise((resolve, reject) => {
        const found = (type, object) => object.metadata.name === 'watched' && resolve(type);
        request = watch.watch(`/api/v1/namespaces/${namespace}/configmaps`, {}, found, (error) => error && reject(error));
    });
    await core.createNamespacedConfigMap({ namespace, body: configMap('watched', {}) });
    assert.equal(await event, 'ADDED');
    (await request).abort();
});

await core.deleteNamespace({ name: namespace });
if (failures > 0) {
    console.log(`${failures} checks failed`);
}
process.exit(failures > 0 ? 1 : 0);
