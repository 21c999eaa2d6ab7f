"""What replicas share: the bus, leases, one shared value, jobs, view versions, the replica count."""
