"""A Ray cluster of two pretended machines, of one core and of two, for a test to use and to damage.

Prints its address; loses the second machine, and says so, when a line comes on standard input; ends
at the end of that.
"""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

MACHINE = {"object_store_memory": 100_000_000, "include_dashboard": False}


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **MACHINE})
    try:
        second = cluster.add_node(num_cpus=2, **MACHINE)
        cluster.wait_for_nodes()
        print(f"address {cluster.address}", flush=True)
        if sys.stdin.readline():
            cluster.remove_node(second, allow_graceful=False)
            print("lost", flush=True)
            sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
