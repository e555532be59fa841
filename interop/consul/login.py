"""Logs in to the Consul dialect by py-consul with tokens of service accounts: login.py URL

KUBECONFIG names the cluster whose API server reviews the tokens.
"""

import base64
import json
import os
import subprocess
import sys
import urllib.parse

import consul

URL = urllib.parse.urlparse(sys.argv[1])
ROOT = os.environ["ROOT_TOKEN"]


def check(name, condition, seen=None):
    if not condition:
        raise SystemExit(f"not ok {name}: {seen!r}")
    print("ok", name)


def refused(name, call, *arguments, **more):
    try:
        seen = call(*arguments, **more)
    except consul.ConsulException as error:
        print("ok", name, f"({error})")
        return
    raise SystemExit(f"not ok {name}: {seen!r}")


def kubectl(*arguments):
    return subprocess.run(["kubectl", *arguments], check=True, capture_output=True, text=True).stdout.strip()


def main():
    cluster = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))["clusters"][0]["cluster"]
    kubectl("create", "namespace", "shop")
    for account in ("reviewer", "storefront", "stranger"):
        kubectl("create", "serviceaccount", account, "-n", "shop")
    kubectl("create", "clusterrolebinding", "reviewer", "--clusterrole=system:auth-delegator", "--serviceaccount=shop:reviewer")
    token = {account: kubectl("create", "token", account, "-n", "shop") for account in ("reviewer", "storefront", "stranger")}
    root = consul.Consul(host=URL.hostname, port=URL.port, token=ROOT)
    # The dialect asks for reviews as Consul would: with a token and an authority of the cluster.
    root.acl.auth_method.create(name="pods", method_type="kubernetes", config={
        "Host": cluster["server"], "ServiceAccountJWT": token["reviewer"],
        "CACert": base64.b64decode(cluster["certificate-authority-data"]).decode()})
    root.acl.binding_rule.create(
        auth_method="pods", bind_type="service", bind_name="${serviceaccount.name}",
        selector='serviceaccount.namespace==shop and serviceaccount.name!=stranger')
    anybody = consul.Consul(host=URL.hostname, port=URL.port)
    refused("a token of nobody", anybody.acl.login, auth_method="pods", bearer_token="nobody")
    refused("an account that no rule is about", anybody.acl.login, auth_method="pods", bearer_token=token["stranger"])
    login = anybody.acl.login(auth_method="pods", bearer_token=token["storefront"], meta={"pod": "storefront-1"})
    check("a token comes back", login["AuthMethod"] == "pods" and login["Local"] is True, login)
    check("with the service of the account", login["ServiceIdentities"] == [{"ServiceName": "storefront"}], login)
    own = consul.Consul(host=URL.hostname, port=URL.port, token=login["SecretID"])
    check("it registers its service", own.agent.service.register("storefront", service_id="storefront-1", port=80))
    _, found = own.health.service("storefront")
    check("and finds it", [one["Service"]["ID"] for one in found] == ["storefront-1"], found)
    refused("but no other", own.agent.service.register, "warehouse")
    check("it logs out", anybody.acl.logout(token=login["SecretID"]) is True)
    refused("and is nobody", own.agent.service.register, "storefront", service_id="storefront-2")


main()
