"""Ray clusters whose nodes all run on this machine; tests add and remove nodes."""

import os
from unittest.mock import patch

from ray._private import ray_constants
from ray.cluster_utils import Cluster

NORMAL_PRIORITY = {"RAY_worker_niceness": "0"}  # else tests that run at the same time starve the workers


def start_cluster(num_cpus: int, megabytes: int = 200, **head: int) -> Cluster:
    """Start a cluster that has only a head node."""
    # otherwise Ray keeps the loopback-only mode of a cluster that this process started earlier
    ray_constants.ENABLE_RAY_CLUSTER = True
    with patch.dict(os.environ, NORMAL_PRIORITY):
        return Cluster(initialize_head=True, head_node_args=_node(num_cpus, megabytes) | head)


def add_worker(nodes: Cluster, num_cpus: int = 1, megabytes: int = 100, **more: int):
    """Add a worker node to a cluster."""
    with patch.dict(os.environ, NORMAL_PRIORITY):
        return nodes.add_node(**_node(num_cpus, megabytes), **more)


def _node(num_cpus: int, megabytes: int) -> dict[str, int]:
    return {"num_cpus": num_cpus, "object_store_memory": megabytes * 1_000_000}
