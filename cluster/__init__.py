"""What belongs to a cluster and not to a stack: the second Pulumi program. Its stacks are called as the clusters' identifiers."""
