"""Contracts of what we drive outside (runtime, image, network, volume) and their implementations.

Law of every driver: idempotent; removing what is absent succeeds; returns facts and never writes a status;
honours the deadline it is given; safe from several threads for different keys; raises only `drivers.errors`.
"""
