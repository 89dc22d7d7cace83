"""What `deploy/k8s` gives a cluster: valid objects that refer to each other."""

from __future__ import annotations

import re
from pathlib import Path

import kubernetes_validate
import pytest

from tests.support.kustomize import Object, named, objects, pods

K8S = Path(__file__).resolve().parents[3] / "deploy" / "k8s"
OLDEST, NEWEST = "1.30", "1.37"
BROUGHT = {("Secret", "rondel-objstore"), ("Secret", "rondel-tls")}
"""what whoever deploys brings along"""

OVERLAYS = sorted(path.parent.name for path in K8S.glob("overlays/*/kustomization.yaml"))


@pytest.fixture(params=["base", *OVERLAYS], scope="module")
def found(request: pytest.FixtureRequest) -> list[Object]:
    return objects(K8S / "base" if request.param == "base" else K8S / "overlays" / request.param)


def test_every_file_is_of_some_kustomization() -> None:
    named_somewhere: set[Path] = set()
    for path in K8S.rglob("kustomization.yaml"):
        named_somewhere.add(path)
        for name in re.findall(
            r"^\s*- (?:path: )?([\w./-]+\.yaml)$", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            named_somewhere.add((path.parent / name).resolve())
    assert set(K8S.rglob("*.yaml")) == named_somewhere


@pytest.mark.parametrize("name", sorted(path.name for path in (K8S / "components").iterdir()))
def test_every_component_fits_the_base(name: str, tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(
        f"kind: Kustomization\nresources: [{K8S}/base]\ncomponents: [{K8S}/components/{name}]\n",
        encoding="utf-8",
    )
    for one in objects(tmp_path):
        kubernetes_validate.validate(one, OLDEST, strict=True)


def test_objects_are_what_kubernetes_takes(found: list[Object]) -> None:
    for one in found:
        kubernetes_validate.validate(one, OLDEST, strict=True)


def test_objects_are_what_the_newest_kubernetes_takes() -> None:
    for one in objects(K8S / "overlays" / "production"):
        kubernetes_validate.validate(one, NEWEST, strict=True)


def test_a_wrong_field_would_be_noticed(found: list[Object]) -> None:
    one = named(found, "Deployment")["rondel-distributor"]
    bad = {**one, "spec": {**one["spec"], "replicaz": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(bad, OLDEST, strict=True)


def test_names_are_taken_once_and_all_is_in_one_namespace(found: list[Object]) -> None:
    keys = [(one["kind"], one["metadata"]["name"]) for one in found]
    assert len(keys) == len(set(keys))
    assert {one["metadata"].get("namespace") for one in found if one["kind"] != "Namespace"} == {"rondel"}
    assert list(named(found, "Namespace")) == ["rondel"]


def test_selectors_select(found: list[Object]) -> None:
    templates = [template["metadata"]["labels"] for _, template in pods(found)]
    for one, template in pods(found):
        wanted = one["spec"]["selector"]["matchLabels"]
        assert wanted.items() <= template["metadata"]["labels"].items(), one["metadata"]["name"]
        same = [labels for labels in templates if wanted.items() <= labels.items()]
        assert len(same) == 1, f"{one['metadata']['name']} takes pods of others for its own"
    selectors = [service["spec"]["selector"] for service in named(found, "Service").values()]
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        for one in named(found, kind).values():
            selector = one["spec"].get("selector") or one["spec"]["podSelector"]
            selectors.append(selector.get("matchLabels", {}))
    for selector in selectors:
        assert any(selector.items() <= labels.items() for labels in templates), selector


def test_what_is_referred_to_is_there(found: list[Object]) -> None:
    keys = {(one["kind"], one["metadata"]["name"]) for one in found} | BROUGHT
    for one, template in pods(found):
        spec = template["spec"]
        if account := spec.get("serviceAccountName"):
            assert ("ServiceAccount", account) in keys
        if one["kind"] == "StatefulSet":
            assert ("Service", one["spec"]["serviceName"]) in keys
        for reference in references(spec):
            assert reference in keys
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])}
        for container in spec["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    for scaler in named(found, "HorizontalPodAutoscaler").values():
        target = scaler["spec"]["scaleTargetRef"]
        assert "replicas" not in named(found, target["kind"])[target["name"]]["spec"]


def references(spec: Object) -> set[tuple[str, str]]:
    """ConfigMaps and Secrets that pods use."""
    found = set()
    for volume in spec.get("volumes", []):
        if "configMap" in volume:
            found.add(("ConfigMap", volume["configMap"]["name"]))
        if "secret" in volume:
            found.add(("Secret", volume["secret"]["secretName"]))
    for container in spec["containers"]:
        for source in container.get("envFrom", []):
            kind = "ConfigMap" if "configMapRef" in source else "Secret"
            found.add((kind, next(iter(source.values()))["name"]))
    return found


def test_ports_have_the_names_by_which_they_are_asked_for(found: list[Object]) -> None:
    for service in named(found, "Service").values():
        selected = [
            template["spec"]
            for _, template in pods(found)
            if service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
        ]
        for spec in selected:
            ports = {port["name"]: port["containerPort"] for port in spec["containers"][0]["ports"]}
            for port in service["spec"]["ports"]:
                assert ports[port["targetPort"]] == port["port"]
    known = {
        port["name"] for _, template in pods(found) for port in template["spec"]["containers"][0]["ports"]
    }
    for policy in named(found, "NetworkPolicy").values():
        for rule in policy["spec"].get("ingress", []):
            assert {port["port"] for port in rule["ports"]} <= known


def test_pods_may_do_no_more_than_they_need(found: list[Object]) -> None:
    for _, template in pods(found):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert "memory" in container["resources"]["limits"]
            assert "cpu" not in container["resources"]["limits"]


def test_a_change_does_not_restart_ingesters_of_several_zones_at_once(found: list[Object]) -> None:
    sets = [one for name, one in named(found, "StatefulSet").items() if name.startswith("rondel-ingester-")]
    assert len(sets) == 3
    assert {one["spec"]["updateStrategy"]["type"] for one in sets} == {"OnDelete"}


def test_images_are_pinned(found: list[Object]) -> None:
    for _, template in pods(found):
        for container in template["spec"]["containers"]:
            assert re.fullmatch(r"[\w./-]+:(v?\d+(\.\d+)+|dev)", container["image"])


def test_zones_differ_in_their_letter_only() -> None:
    texts = {
        zone: (K8S / "base" / f"ingester-zone-{zone}.yaml").read_text(encoding="utf-8") for zone in "abc"
    }
    for zone in "bc":
        lettered = re.sub(r"(?m)(ingester-|zone: |zone=)a$", rf"\g<1>{zone}", texts["a"])
        assert lettered == texts[zone]
