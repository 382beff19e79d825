"""``otzyv serve``: deployments, and the workers that run them."""
