"""A real Kubernetes of one to three nodes on this machine: every node a network namespace on one bridge, everything else shared."""
