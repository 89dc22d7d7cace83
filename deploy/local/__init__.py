"""A whole cluster on one machine, of real processes."""
