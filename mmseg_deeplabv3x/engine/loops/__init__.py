"""Registered loops, and what they consist of."""

from .async_replica_loop import AsyncReplicaLoop
