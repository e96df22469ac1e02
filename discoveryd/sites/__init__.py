"""Sites: what a node knows of the peers of other sites, over NATS, as the gateways there vouch for it."""
