"""oslo.policy, asked rarely: verdicts are remembered for about a second.

`oslo_policy.Enforcer.enforce` looks at files on every call and walks all rules; upstream spent two thirds
of a list there (limits.md 8). A verdict depends on the rule, the caller and the target alone, so it may be
kept until the policy files could have changed. Keeping it a second makes a change of policy late by that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from oslo_config import cfg
from oslo_policy import opts, policy

from zun.api.policies import list_rules
from zun.api.policies.base import CONTEXT_IS_ADMIN
from zun.service.caller import Caller
from zun.service.errors import Forbidden

#: Verdicts kept at most; more means many projects in one list, which start anew.
_KEPT = 4096

_Key = tuple[
    str, str, str, frozenset[str], frozenset[str], bool, tuple[tuple[str, str], ...]
]  # fmt: skip


def enforcer_of(conf: cfg.ConfigOpts, policy_file: str | Path | None = None) -> policy.Enforcer:
    """oslo.policy's enforcer with our rules."""
    enforcer = policy.Enforcer(conf, policy_file=None if policy_file is None else str(policy_file))
    # Who sets enforce_new_defaults to false has read what it means: no warning a rule at every start.
    enforcer.suppress_default_change_warnings = True
    enforcer.register_defaults(list_rules())
    return enforcer


class Enforcer:
    """Says who may do what. Safe from several threads."""

    def __init__(
        self,
        *,
        conf: cfg.ConfigOpts | None = None,
        policy_file: str | Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`conf` = the operator's, with `[oslo_policy]`; without it a private one. `policy_file` need not exist."""
        if conf is None:
            conf = cfg.ConfigOpts()
            conf([], project="zun", default_config_files=[], default_config_dirs=[])
        opts.set_defaults(conf)
        self._enforcer = enforcer_of(conf, policy_file)
        self._lock = threading.Lock()
        self._clock = clock
        self._second = -1
        self._verdicts: dict[_Key, bool] = {}
        self._fields: dict[str, tuple[str, ...]] = {}

    def authorize(self, caller: Caller, rule: str, target: Mapping[str, str] | None = None) -> None:
        """Raise Forbidden unless `rule` allows it; `target` None = the caller's own project."""
        if not self.allows(caller, rule, target):
            raise Forbidden(f"Policy rule {rule} does not allow you this.")

    def allows(self, caller: Caller, rule: str, target: Mapping[str, str] | None = None) -> bool:
        """Whether `rule` allows `caller` to act on what belongs to `target` (project_id, user_id)."""
        if target is None:
            target = {"project_id": caller.project_id, "user_id": caller.user_id}
        return self._verdict(caller, rule, target)

    def is_admin(self, user_id: str, project_id: str, roles: frozenset[str]) -> bool:
        """The verdict of `context_is_admin`."""
        target = {"project_id": project_id, "user_id": user_id}
        caller = Caller(user_id=user_id, project_id=project_id, roles=roles, request_id="")
        return self._verdict(caller, CONTEXT_IS_ADMIN, target)

    def field_rules(self, prefix: str) -> tuple[str, ...]:
        """Fields that have a rule `<prefix><field>`, those added by the operator included (contract 13.1-21)."""
        self._refresh()
        fields = self._fields.get(prefix)
        if fields is None:
            with self._lock:
                self._enforcer.load_rules()
                names = [name for name in self._enforcer.rules or () if name.startswith(prefix)]
            fields = tuple(sorted(name.removeprefix(prefix) for name in names))
            self._fields[prefix] = fields
        return fields

    def hidden_fields(
        self, caller: Caller, prefix: str, target: Mapping[str, str]
    ) -> frozenset[str]:
        """Fields of a resource of `target` that `caller` may not see."""
        return frozenset(
            field
            for field in self.field_rules(prefix)
            if not self.allows(caller, prefix + field, target)
        )

    def _verdict(self, caller: Caller, rule: str, target: Mapping[str, str]) -> bool:
        self._refresh()
        key = (
            rule, caller.user_id, caller.project_id, caller.roles, caller.service_roles,
            caller.is_admin, tuple(target.items()),
        )  # fmt: skip
        verdict = self._verdicts.get(key)
        if verdict is None:
            credentials = {
                "user_id": caller.user_id,
                "project_id": caller.project_id,
                "tenant": caller.project_id,
                "roles": sorted(caller.roles),
                "service_roles": sorted(caller.service_roles),
                "is_admin": caller.is_admin,
            }
            with self._lock:
                verdict = bool(self._enforcer.enforce(rule, dict(target), credentials))
            if len(self._verdicts) >= _KEPT:
                self._verdicts = {}
            self._verdicts[key] = verdict
        return verdict

    def _refresh(self) -> None:
        second = int(self._clock())
        if second != self._second:
            self._second = second
            self._verdicts = {}
            self._fields = {}
