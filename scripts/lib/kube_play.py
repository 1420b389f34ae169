"""Renders the Helm chart as `podman play kube` of Debian 12 (4.3) can run it, for tests/e2e/image.rs.

usage: kube_play.py CHART IMAGE PORT TOKEN

What podman does not know is left out or told otherwise: it runs one pod, takes no value from the pod's status, decodes no Secret, and makes probes of HTTP
calls of curl, which the image does not have. All the rest is the chart's: the configuration, the volumes, the security context, the arguments.
"""

import sys

import helm_python
import yaml

chart, image, port, token = sys.argv[1:]
repository, _, tag = image.rpartition(":")
values = {"image": {"repository": repository, "tag": tag, "pullPolicy": "Never"}, "replicas": 1, "topologySpread": False}
with helm_python.Chart.load(chart) as loaded:
    loaded.validate_schema(values)
    files = loaded.render(values, name=f"test-{port}", namespace="tools")
manifests = [part for file, text in files.items() if file.endswith(".yaml") for part in yaml.safe_load_all(text) if isinstance(part, dict)]
(config,) = [part for part in manifests if part["kind"] == "ConfigMap"]
(deployment,) = [part for part in manifests if part["kind"] == "Deployment"]

listen = 'listen = "0.0.0.0:8000"'
assert listen in config["data"]["toolbay.toml"], config
config["data"]["toolbay.toml"] = config["data"]["toolbay.toml"].replace(listen, f'listen = "127.0.0.1:{port}"')
pod = deployment["spec"]["template"]["spec"]
pod["hostNetwork"] = True
(container,) = pod["containers"]
for left_out in ("ports", "startupProbe", "livenessProbe", "readinessProbe"):
    del container[left_out]
for variable in container["env"]:
    if variable.pop("valueFrom", None):
        variable["value"] = "127.0.0.1"
secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"test-{port}"}, "data": {"token": token, "state-key": token}}
for volume in pod["volumes"]:
    if "secret" in volume:
        volume["secret"]["secretName"] = secret["metadata"]["name"]
print(yaml.safe_dump_all([config, secret, deployment]), end="")
