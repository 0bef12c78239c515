"""HTTP only: the v1 contract on one side, the use cases of `zun.service` on the other."""
