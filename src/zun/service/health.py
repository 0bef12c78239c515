"""Whether the parts of the service work, one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Probe = Callable[[], str]
"""Returns a word or two on how the part is; raises with the reason when it does not work."""


class Health:
    """Asks the probes it was wired with: "database", "conductor", "compute", "engine", "networks"."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._probes = probes

    def report(self) -> Mapping[str, tuple[bool, str]]:
        """Name of the part -> (works, what it says)."""
        return {name: _ask(probe) for name, probe in self._probes.items()}


def _ask(probe: Probe) -> tuple[bool, str]:
    try:
        return True, probe()
    except Exception as exc:
        return False, str(exc) or type(exc).__name__
