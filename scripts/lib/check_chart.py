"""Lints and renders the Helm chart with several values, and holds what comes out against Kubernetes' schemas, and the configuration in it against Toolbay's.

Run by scripts/check-deploy.sh.
"""

import json
import pathlib
import sys
import tomllib

import helm_python
import jsonschema
import kubernetes_validate
import yaml

# The oldest and the newest that the schemas are asked for.
VERSIONS = ["1.27", "1.34"]
# Kinds of other projects, which have no schema in Kubernetes.
FOREIGN = {"ServiceMonitor", "HTTPRoute"}

EVERYTHING = {
    "image": {"repository": "registry.example/toolbay", "digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "pull"}],
    "env": [{"name": "RUST_BACKTRACE", "value": "1"}],
    "pluginsVolume": {"persistentVolumeClaim": {"claimName": "plugins", "readOnly": True}},
    "cacheVolume": {"persistentVolumeClaim": {"claimName": "cache"}},
    "service": {"type": "LoadBalancer", "port": 8080, "annotations": {"a": "b"}},
    "ingress": {"enabled": True, "className": "nginx", "annotations": {"a": "b"}, "host": "tools.example.com", "tlsSecretName": "tls"},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}], "hostnames": ["tools.example.com"]},
    "autoscaling": {"enabled": True, "minReplicas": 1, "maxReplicas": 5, "targetInFlight": 5},
    "networkPolicy": {
        "enabled": True,
        "from": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}],
        "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"protocol": "TCP", "port": 443}]}],
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "serviceAccount": {"annotations": {"a": "b"}},
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "platform"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
    "gpu": {"enabled": True, "replicas": 2, "image": "registry.example/toolbay-cuda:1", "nodeSelector": {"gpu": "yes"}},
}

GOOD = {
    "defaults": {},
    "everything": EVERYTHING,
    "a policy for all": {"networkPolicy": {"enabled": True}},
    "nothing optional": {"podDisruptionBudget": {"enabled": False}, "topologySpread": False, "replicas": 0},
    "quotes in the configuration": {"config": "listen = \"0.0.0.0:8000\"\n# {{ .Values.x }}: 'as it is'\n"},
}

WRONG = {
    "a misspelt key": {"replicaz": 2},
    "a misspelt key inside": {"autoscaling": {"enable": True}},
    "a number as text": {"replicas": "2"},
    "a digest that is none": {"image": {"digest": "latest"}},
    "an unknown service type": {"service": {"type": "Cluster"}},
}


def render(chart: str, values: dict) -> dict[str, str]:
    """The manifests by file."""
    with helm_python.Chart.load(chart) as loaded:
        loaded.validate_schema(values)
        files = loaded.render(values, name="tb", namespace="tools")
    return {file: text for file, text in files.items() if file.endswith(".yaml") and text.strip()}


def main() -> None:
    chart = sys.argv[1]
    root = pathlib.Path(chart).resolve().parents[2]
    schema = jsonschema.Draft202012Validator(json.loads((root / "docs/toolbay.schema.json").read_text()))
    for name, values in GOOD.items():
        report = helm_python.lint(chart, values, strict=True)
        if report["errors"]:
            sys.exit(f"check-deploy: {name}: {json.dumps(report['errors'])}")
        files = render(chart, values)
        manifests = [part for text in files.values() for part in yaml.safe_load_all(text) if isinstance(part, dict)]
        names = [(part["kind"], part["metadata"]["name"]) for part in manifests]
        if len(names) != len(set(names)):
            sys.exit(f"check-deploy: {name}: two of the same name: {names}")
        for part in manifests:
            for version in VERSIONS:
                if part["kind"] not in FOREIGN:
                    kubernetes_validate.validate(part, version, strict=True)
        (config,) = [part["data"]["toolbay.toml"] for part in manifests if part["kind"] == "ConfigMap" and not part["metadata"]["name"].endswith("gpu")]
        for part in manifests:
            if part["kind"] == "ConfigMap":
                for error in schema.iter_errors(tomllib.loads(part["data"]["toolbay.toml"])):
                    sys.exit(f"check-deploy: {name}: the configuration in {part['metadata']['name']} is wrong: {error.json_path}: {error.message}")
        if "config" in values and config.strip() != values["config"].strip():
            sys.exit(f"check-deploy: {name}: the configuration was changed: {config!r}")
        print(f"check-deploy: {name}: {len(manifests)} manifests", file=sys.stderr)
    kinds = {part["kind"] for text in render(chart, EVERYTHING).values() for part in yaml.safe_load_all(text) if isinstance(part, dict)}
    wanted = {"Deployment", "Service", "ConfigMap", "ServiceAccount", "Ingress", "HTTPRoute", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "ServiceMonitor"}
    if kinds != wanted:
        sys.exit(f"check-deploy: rendered {sorted(kinds)} in place of {sorted(wanted)}")
    for name, values in WRONG.items():
        try:
            render(chart, values)
        except Exception as error:  # noqa: BLE001  (the package's own kinds differ by what is wrong)
            print(f"check-deploy: {name} is refused: {' '.join(str(error).split())[:120]}", file=sys.stderr)
        else:
            sys.exit(f"check-deploy: {name} was taken")
    version = next(line.split('"')[1] for line in (root / "Cargo.toml").read_text().splitlines() if line.startswith("version = "))
    described = yaml.safe_load((pathlib.Path(chart) / "Chart.yaml").read_text())
    if described["appVersion"] != version:
        sys.exit(f"check-deploy: Chart.yaml says appVersion {described['appVersion']}, Cargo.toml {version}")


main()
