"""What image, compose file and manifests tell the program is what it takes: options, settings, ports,
folders, probes. All of that is asked of the program itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from rondel.cluster.marker import Marker
from services.ingester.http import leave_routes
from tests.support.kustomize import Object, named, objects, pods
from tests.support.program import PROBES, given_options, load_file, variables_of

ROOT = Path(__file__).resolve().parents[3]
K8S = ROOT / "deploy" / "k8s"
FOLDERS = [K8S / "base", *sorted(path.parent for path in K8S.glob("overlays/*/kustomization.yaml"))]
ROLES = {"distributor", "ingester", "querier", "compactor"}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


@dataclass
class Pod:
    """A container of Rondel in a rendered kustomization."""

    name: str
    container: Object
    files: dict[str, str]
    """of the ConfigMap with settings"""
    variables: dict[str, str] = field(default_factory=dict)
    """of its environment, without those that a Secret brings"""

    @property
    def mounts(self) -> dict[str, str]:
        return {mount["name"]: mount["mountPath"] for mount in self.container["volumeMounts"]}


def deployed() -> Iterator[Pod]:
    for folder in FOLDERS:
        found = objects(folder)
        maps = named(found, "ConfigMap")
        for one, template in pods(found):
            for container in template["spec"]["containers"]:
                if re.search(r"(^|/)rondel:", container["image"]):
                    variables = {each["name"]: each.get("value", "") for each in container["env"]}
                    for source in container["envFrom"]:
                        if "configMapRef" in source:
                            variables |= maps[source["configMapRef"]["name"]]["data"]
                    name = f"{folder.name}/{one['metadata']['name']}"
                    yield Pod(name, container, maps["rondel-config"]["data"], variables)


PODS = list(deployed())
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))[
    "services"
]
OURS = {name: one for name, one in COMPOSE.items() if one["image"].startswith("rondel:")}


@pytest.fixture(params=PODS, ids=lambda pod: pod.name)
def pod(request: pytest.FixtureRequest) -> Pod:
    found: Pod = request.param
    return found


@pytest.fixture(params=OURS)
def service(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def last_number(address: str) -> str:
    return address.rpartition(":")[2]


# --- Kubernetes ---


def test_every_role_is_deployed() -> None:
    for folder in FOLDERS:
        own = [one for one in PODS if one.name.startswith(f"{folder.name}/")]
        assert {one.container["args"][0] for one in own} == ROLES


def test_a_pod_s_arguments_are_taken(pod: Pod) -> None:
    given_options(pod.container["args"])
    wanted = {name for argument in pod.container["args"] for name in re.findall(r"\$\((\w+)\)", argument)}
    assert wanted <= pod.variables.keys()


def test_what_the_environment_of_a_pod_sets_is_known(pod: Pod) -> None:
    role = pod.container["args"][0]
    assert {name for name in pod.variables if name.startswith("RONDEL_")} <= variables_of(role)


def test_the_file_of_settings_is_read(pod: Pod, tmp_path: Path) -> None:
    role, options = given_options(pod.container["args"])
    path = Path(options["config"])
    assert str(path.parent) == pod.mounts["config"]
    (tmp_path / path.name).write_text(pod.files[path.name], encoding="utf-8")
    own = {name: value for name, value in pod.variables.items() if name.startswith("RONDEL_")}
    assert load_file(role, tmp_path / path.name, own).log.format == "json"


def test_ports_and_folders_of_a_pod_are_those_that_the_program_is_told(pod: Pod) -> None:
    _, options = given_options(pod.container["args"])
    ports = {port["name"]: str(port["containerPort"]) for port in pod.container["ports"]}
    listens = {"http": last_number(options["http_listen"])}
    if "grpc_listen" in options:
        listens["grpc"] = last_number(options["grpc_listen"])
    assert listens == ports
    if "advertise" in options:
        assert last_number(options["advertise"]) == ports.get("grpc", ports["http"])
    if "data_dir" in options:
        assert pod.mounts["data"] == options["data_dir"]


def test_probes_ask_for_what_the_program_answers(pod: Pod) -> None:
    probes = {key: value for key, value in pod.container.items() if key.endswith("Probe")}
    assert {probe["httpGet"]["path"] for probe in probes.values()} <= PROBES
    assert {probe["httpGet"]["port"] for probe in probes.values()} == {"http"}
    assert probes["readinessProbe"]["httpGet"]["path"] == "/-/ready"
    assert "startupProbe" in probes
    # An ingester that is killed costs a replay, and is no better for it.
    assert ("livenessProbe" in probes) == (pod.container["args"][0] != "ingester")


def test_the_rollout_operator_asks_for_a_page_that_ingesters_have() -> None:
    patch = (K8S / "components/rollout-operator/patch.yaml").read_text(encoding="utf-8")
    [told] = [one["value"] for one in yaml.safe_load(patch) if one["path"] == "/metadata/annotations"]
    pages = {one.path for one in leave_routes(Marker(Path("marker")), lambda: 0)}
    assert f"/{told['grafana.com/prepare-downscale-http-path']}" in pages
    ports = {pod.container["ports"][0]["containerPort"] for pod in PODS}
    assert {int(told["grafana.com/prepare-downscale-http-port"])} == ports


# --- compose ---


def test_compose_has_every_role_and_three_zones() -> None:
    given = [given_options(one["command"]) for one in OURS.values()]
    assert {role for role, _ in given} == ROLES
    ids = [options["instance_id"] for role, options in given if role != "compactor"]
    assert len(ids) == len(set(ids))
    assert [options["zone"] for role, options in given if role == "ingester"] == ["a", "b", "c"]


def test_addresses_in_compose_are_those_of_services(service: str) -> None:
    _, options = given_options(OURS[service]["command"])
    if "advertise" in options:
        assert options["advertise"] == f"{service}:{last_number(options['grpc_listen'])}"
    if "etcd" in options:
        members = [endpoint.partition(":")[0] for endpoint in options["etcd"].split(",")]
        assert members == [other for other in COMPOSE if other.startswith("etcd-")]
    if "objstore" in options:
        [endpoint] = re.findall(r"endpoint=http://([^:&]+):8333", options["objstore"])
        assert urlsplit(options["objstore"]).netloc == COMPOSE[endpoint]["environment"]["S3_BUCKET"]


def test_compose_asks_for_readiness_where_the_program_listens(service: str) -> None:
    _, options = given_options(OURS[service]["command"])
    probe = re.search(r"http://127\.0\.0\.1:(\d+)(/[\w/-]+)", OURS[service]["healthcheck"]["test"][-1])
    assert probe is not None
    assert probe[1] == last_number(options["http_listen"])
    assert probe[2] in PROBES


def test_folders_in_compose_can_be_written_to(service: str) -> None:
    _, options = given_options(OURS[service]["command"])
    places = [place.split(":")[0] for place in OURS[service]["tmpfs"]]
    places += [mount.split(":")[1] for mount in OURS[service].get("volumes", [])]
    assert len(places) == len(set(places))
    assert options.get("data_dir", "/tmp") in places


# --- the image ---


def test_the_image_starts_the_program_with_its_ports_and_its_folder() -> None:
    entry, command = (
        json.loads(re.findall(rf"(?m)^{step} (.+)$", DOCKERFILE)[0]) for step in ("ENTRYPOINT", "CMD")
    )
    assert entry == ["rondel"]
    role, options = given_options(command)
    assert role == "standalone"
    [folder] = re.findall(r"(?m)^RUN install -d -o \d+ -g \d+ (\S+)$", DOCKERFILE)
    assert options["data_dir"] == folder
    [exposed] = re.findall(r"(?m)^EXPOSE (.+)$", DOCKERFILE)
    assert last_number(options["http_listen"]) in exposed.split()
    listened = {last_number(given_options(one["command"])[1]["http_listen"]) for one in OURS.values()}
    assert listened <= set(exposed.split())
