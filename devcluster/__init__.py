"""A real local Kubernetes for the demo, the tests and development.

`choose(os.environ)` returns the provider that the variable CLUSTER names. `start_local` starts a temporary cluster that
ends together with its caller.
"""

from devcluster.choose import choose
from devcluster.cluster import Cluster, Provider
from devcluster.errors import ClusterError
from devcluster.local import LocalCluster, start_local

__all__ = ["Cluster", "ClusterError", "LocalCluster", "Provider", "choose", "start_local"]
