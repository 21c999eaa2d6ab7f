"""Load balancers before two gateways of the compose file, one of which goes (decision 39)."""
