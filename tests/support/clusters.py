"""Ray clusters whose nodes all are on this machine, for a test to add nodes to and to remove them."""

from ray._private import ray_constants
from ray.cluster_utils import Cluster


def start_cluster(num_cpus: int, megabytes: int = 200, **head: int) -> Cluster:
    """One with a head only."""
    # a Ray that this process has started before, on loopback only, would make this one do the same
    ray_constants.ENABLE_RAY_CLUSTER = True
    return Cluster(initialize_head=True, head_node_args=_node(num_cpus, megabytes) | head)


def add_worker(nodes: Cluster, num_cpus: int = 1, megabytes: int = 100, **more: int):
    """A further node."""
    return nodes.add_node(**_node(num_cpus, megabytes), **more)


def _node(num_cpus: int, megabytes: int) -> dict[str, int]:
    return {"num_cpus": num_cpus, "object_store_memory": megabytes * 1_000_000}
