"""`python -m tests.swin_embed.batch.nodes CPUS GPUS`: a Ray cluster of three node processes.

Prints its address; each line on standard input kills a node that is not the head; ends with it.
"""

import sys

from ray.cluster_utils import Cluster


def main() -> None:
    each = {
        "num_cpus": int(sys.argv[1]),
        "num_gpus": int(sys.argv[2]),
        "object_store_memory": 100 * 1024 * 1024,
    }
    cluster = Cluster(True, head_node_args=each | {"include_dashboard": False})
    nodes = [cluster.add_node(**each) for _ in range(2)]
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    for _ in sys.stdin:
        cluster.remove_node(nodes.pop(), allow_graceful=False)
        print("killed", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
