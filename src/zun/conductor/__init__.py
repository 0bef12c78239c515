"""Places containers, and recovers what a dead process left."""
