"""Weights on the nodes' own disks: what the chart gives them, where caches are switched on."""

import pytest

from rlgen_k8s.runners.argo.platform import parse_platform

ON = ("--set", "cache.enabled=true,cache.sizeGiB=70,cache.path=/mnt/nvme", "--set-json", 'cache.nodes={"disk": "nvme"}')


@pytest.fixture(scope="module")
def objects(render):
    return {(item["kind"], item["metadata"]["name"]): item for item in render(None, *ON)}


def test_without_caches_there_is_nothing_of_them(render):
    objects = render(None)
    assert not [item for item in objects if "cache" in item["metadata"]["name"]]
    [platform] = [item for item in objects if item["metadata"]["name"] == "rlgen-platform"]
    assert parse_platform(platform["data"], "rlgen", "").cache_claim is None


def test_the_volume_is_a_folder_of_each_node_that_has_the_label(objects):
    volume = objects["PersistentVolume", "rlgen-cache"]["spec"]
    assert volume["local"] == {"path": "/mnt/nvme"} and volume["capacity"] == {"storage": "70Gi"}
    [term] = volume["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert {"key": "disk", "operator": "In", "values": ["nvme"]} in term["matchExpressions"]


def test_pods_mount_the_claim_that_is_bound_to_it(objects):
    cache = parse_platform(objects["ConfigMap", "rlgen-platform"]["data"], "rlgen", "").cache_claim
    assert cache is not None and cache.gib == 70
    claim = objects["PersistentVolumeClaim", cache.name]
    volume = objects["PersistentVolume", claim["spec"]["volumeName"]]["spec"]
    assert volume["claimRef"] == {"namespace": "rlgen", "name": cache.name}
    # No storage class on either side: nothing is made for it, and it is bound before a pod asks.
    assert claim["spec"]["storageClassName"] == "" and "storageClassName" not in volume
    assert claim["spec"]["accessModes"] == volume["accessModes"]


@pytest.mark.parametrize("wrong", ["cache.path=relative", "cache.sizeGiB=0", "cache.size=3Gi"])
def test_a_cache_that_cannot_be_is_refused(helm, wrong):
    done = helm("template", "rlgen", "charts/rlgen", *ON, "--set", wrong)
    assert done.returncode != 0 and "cache" in done.stderr
