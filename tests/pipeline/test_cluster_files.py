"""examples/cluster: files for Ray's launcher (Ray's schema) and for KubeRay (the fields of ray.io/v1)."""

import copy
import json
import shlex
from pathlib import Path

import jsonschema
import pytest
import ray
import yaml
from running import compose

from pipeline.config.compose import CONF

FOLDER = CONF.parent / "examples" / "cluster"
LAUNCHER = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
TEXT, COUNT, FLAG = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
QUICK = {
    "RAY_health_check_period_ms",
    "RAY_health_check_timeout_ms",
    "RAY_health_check_failure_threshold",
    "RAY_grpc_client_keepalive_time_ms",
    "RAY_grpc_client_keepalive_timeout_ms",
}


def strict(required, **fields):
    """An object with these fields and no others."""
    return {"type": "object", "properties": fields, "required": required.split(), "additionalProperties": False}


def several(of):
    return {"type": "array", "items": of, "minItems": 1}


TEXTS = {"type": "object", "additionalProperties": TEXT}
QUANTITIES = {"type": "object", "additionalProperties": {"type": "string", "pattern": r"^[0-9.]+(m|[KMGT]i?)?$"}}
CONTAINER = strict(
    "name image resources",
    name=TEXT,
    image=TEXT,
    env=several(strict("name value", name=TEXT, value=TEXT)),
    resources=strict("requests limits", requests=QUANTITIES, limits=QUANTITIES),
    securityContext=strict("", allowPrivilegeEscalation=FLAG, capabilities=strict("drop", drop=several(TEXT))),
    volumeMounts=several(strict("name mountPath", name=TEXT, mountPath={"type": "string", "pattern": "^/"})),
)
POD = strict(
    "containers",
    securityContext=strict("runAsNonRoot", runAsNonRoot={"const": True}, runAsUser=COUNT, fsGroup=COUNT),
    containers=several(CONTAINER),
    volumes=several(
        strict(
            "name",
            name=TEXT,
            emptyDir=strict("", medium={"enum": ["", "Memory"]}, sizeLimit=TEXT),
            persistentVolumeClaim=strict("claimName", claimName=TEXT, readOnly=FLAG),
        )
    ),
)
TEMPLATE = strict("spec", metadata={"type": "object"}, spec=POD)
CLUSTER = strict(
    "headGroupSpec",
    rayVersion=TEXT,
    authOptions=strict("", mode={"enum": ["disabled", "token"]}, secretName=TEXT),
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=strict("", idleTimeoutSeconds=COUNT),
    headGroupSpec=strict("template", rayStartParams=TEXTS, template=TEMPLATE),
    workerGroupSpecs=several(
        strict(
            "groupName maxReplicas minReplicas template",
            groupName=TEXT,
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            rayStartParams=TEXTS,
            template=TEMPLATE,
        )
    ),
)
JOB = strict(
    "rayClusterSpec",
    entrypoint=TEXT,
    shutdownAfterJobFinishes=FLAG,
    ttlSecondsAfterFinished=COUNT,
    backoffLimit=COUNT,
    rayClusterSpec=CLUSTER,
)


def kuberay(kind, spec):
    metadata = strict("name", name={"type": "string", "pattern": "^[a-z0-9-]{1,63}$"})
    head = {"apiVersion": {"const": "ray.io/v1"}, "kind": {"const": kind}}
    return strict("apiVersion kind metadata spec", **head, metadata=metadata, spec=spec)


SCHEMAS = {
    "ray_launcher": LAUNCHER,
    "kuberay_cluster": kuberay("RayCluster", CLUSTER),
    "kuberay_job": kuberay("RayJob", JOB),
}


def content(name):
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text())


def test_every_file_has_a_schema():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(SCHEMAS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_files_are_valid(name):
    jsonschema.validate(content(name), SCHEMAS[name])


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("ray_launcher", ["provider", "type"], None),
        ("ray_launcher", ["min_worker"], 2),
        ("ray_launcher", ["max_workers"], "two"),
        ("kuberay_cluster", ["spec", "workerGroupSpec"], []),
        ("kuberay_cluster", ["spec", "workerGroupSpecs", 0, "maxReplicas"], None),
        ("kuberay_cluster", ["spec", "headGroupSpec", "rayStartParams", "num-cpus"], 2),
        ("kuberay_job", ["spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "volume"], []),
        ("kuberay_job", ["apiVersion"], "ray.io/v1alpha1"),
        ("kuberay_job", ["spec", "rayClusterSpec", "authOptions", "mode"], "none"),
    ],
)
def test_the_schemas_detect_mistakes(name, path, value):
    changed = copy.deepcopy(content(name))
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    if value is None:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed, SCHEMAS[name])


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_host_detects_a_lost_host_quickly(name):
    text = (FOLDER / f"{name}.yaml").read_text()
    groups = 2 if name == "ray_launcher" else 1  # in the manifests all containers share one list
    assert {setting: text.count(setting) for setting in QUICK} == dict.fromkeys(QUICK, groups)
    if name != "ray_launcher":
        spec = content(name)["spec"]
        cluster = spec.get("rayClusterSpec", spec)
        pods = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
        containers = [pod["template"]["spec"]["containers"][0] for pod in pods]
        assert all({variable["name"] for variable in container["env"]} == QUICK for container in containers)
        assert all(container["resources"]["requests"] == container["resources"]["limits"] for container in containers)


def test_the_entrypoint_of_the_job_is_a_valid_command():
    command, *overrides = shlex.split(content("kuberay_job")["spec"]["entrypoint"])
    settings, _ = compose(*overrides)
    assert command == "nnsweep"
    assert settings.execution.address == "auto"
    assert str(settings.runs) == "/runs"


def test_clusters_require_a_token():
    for name in SCHEMAS:
        text = (FOLDER / f"{name}.yaml").read_text()
        assert text.count("RAY_AUTH_MODE=token" if name == "ray_launcher" else "authOptions: {mode: token}") >= 1
    starts = [content("ray_launcher")[f"{kind}_start_ray_commands"][-1] for kind in ("head", "worker")]
    assert all("RAY_AUTH_MODE=token" in start for start in starts)
    assert "~/.ray/auth_token" in content("ray_launcher")["file_mounts"]


def test_the_job_and_the_cluster_have_the_same_cluster_spec():
    assert content("kuberay_job")["spec"]["rayClusterSpec"] == content("kuberay_cluster")["spec"]
