"""Writes the pages of docs/reference/ and etc/ that are made from code: `python -m zun.cmd.generate_docs`.

With --check nothing is written; pages that differ from the code are named and the exit code is 1.
A new page is one function and one line in PAGES.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import io
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import orjson
from oslo_config import cfg, generator
from oslo_policy import policy

from zun import conf
from zun.api import versions
from zun.api.openapi.document import build
from zun.api.openapi.page import render
from zun.api.policies import list_rules
from zun.api.routes import ROUTES
from zun.api.settings import ApiSettings
from zun.model import lifecycle
from zun.model.lifecycle import ALLOWED, IN_TRANSIT, TRANSITIONS, Action, Observed, Status

_ROOT = Path(__file__).resolve().parents[3]
_NOTE = "<!-- Made by `python -m zun.cmd.generate_docs`; do not edit. -->\n"
_DIFF_LINES = 40


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def lifecycle_page() -> str:
    """The state machine, by calling it."""
    return f"""{_NOTE}
# The life of a container

Made from `zun.model.lifecycle`, which the service itself reads.

## What may start when

`yes`: accepted in this status. Empty: refused with a 409. An open operation on the container
refuses every action with an operation of its own but `delete`.

{_guard_table()}
In any status: {", ".join(f"`{action}`" for action in TRANSITIONS if action not in ALLOWED) or "none"}.

## What an operation does to the status

`during`: from acceptance to the end. `settled`: when all steps are done and the engine shows what was
asked for. `failed`: when they could not be done. *engine's* = what the engine shows then.

{_transition_table()}
## What is recorded when the engine shows something else

The status that follows from the one recorded (rows) and what the engine shows of the container
(columns); `missing` where it knows none. A container made with `auto_remove` becomes
{lifecycle.observe(Status.RUNNING, Observed.MISSING, auto_remove=True)} instead of
{lifecycle.observe(Status.RUNNING, Observed.MISSING, auto_remove=False)} when it is missing.
{", ".join(sorted(IN_TRANSIT))} stay as they are: there an operation speaks.

{_observation_table()}
## Diagram

```mermaid
{_diagram()}```
"""


def _guard_table() -> str:
    rows = (
        [f"`{action}`", *("yes" if lifecycle.guard(action, status) else "" for status in Status)]
        for action in ALLOWED
    )
    return table(["action", *Status], rows)


def _transition_table() -> str:
    rows = (
        [
            f"`{action}`",
            move.during or "unchanged",
            move.settled or ("*engine's*" if move.keeps else "*the row is gone*"),
            move.failed or "*engine's*",
            f"`{move.task}`" if move.task else "",
        ]
        for action, move in TRANSITIONS.items()
    )
    return table(["action", "during", "settled", "failed", "`task_state`"], rows)


def _observation_table() -> str:
    rows = (
        [
            f"**{recorded}**",
            *(lifecycle.observe(recorded, seen, auto_remove=False) for seen in Observed),
        ]
        for recorded in Status
    )
    return table(["recorded", *Observed], rows)


def _diagram() -> str:
    lines = ["stateDiagram-v2\n"]
    for action, move in TRANSITIONS.items():
        if move.keeps:
            continue
        end = move.settled or "[*]"
        if move.during is None:
            starts = [status for status in Status if lifecycle.guard(action, status)]
            lines += [f"    {status} --> {end}: {action}\n" for status in starts]
            continue
        starts = [status for status in Status if lifecycle.guard(action, status)]
        first: list[str] = ["[*]"] if action is Action.CREATE else [str(s) for s in starts]
        lines += [f"    {start} --> {move.during}: {action}\n" for start in first]
        lines.append(f"    {move.during} --> {end}: done\n")
        if move.failed:
            lines.append(f"    {move.during} --> {move.failed}: failed\n")
    return "".join(lines)


def configuration_page() -> str:
    """Every option of ours."""
    sections = [
        f"## [{group.name}]\n\n{_sentence(group.help)}{table(_OPTION_HEAD, map(_option_row, opts))}"
        for group, opts in conf.list_opts()
    ]
    return f"""{_NOTE}
# Options

How to set them: [configuration](../how-to/configuration.md). The options of logging
([oslo.log](https://docs.openstack.org/oslo.log/latest/configuration/)) and of the policy file
([oslo.policy](https://docs.openstack.org/oslo.policy/latest/configuration/)) are in
[zun.conf.sample](../../etc/zun.conf.sample) too.

{chr(10).join(sections)}
## Options of libraries

`[DEFAULT] transport_url` and `[oslo_messaging_rabbit]`
([oslo.messaging](https://docs.openstack.org/oslo.messaging/latest/configuration/)), `[keystone_authtoken]`
([keystonemiddleware](https://docs.openstack.org/keystonemiddleware/latest/middlewarearchitecture.html#configuration)),
`[cors]` and `[oslo_middleware]` ([oslo.middleware](https://docs.openstack.org/oslo.middleware/latest/)) are read as
these libraries say. Defaults of ours that differ are in the [how-to](../how-to/deploy.md).

## Options of upstream Zun that are not read

A file that sets them is accepted; each is a warning at the start.

{table(["section", "option", "why"], _not_read())}"""


def _not_read() -> Iterable[Sequence[str]]:
    for section, option, reason in conf.not_read():
        yield [f"`{section}`", f"`{option}`" if option != "*" else "all others", reason]


_OPTION_HEAD = ("option", "default", "accepted", "meaning")


def _sentence(text: str | None) -> str:
    return f"{text}\n\n" if text else ""


def _option_row(opt: cfg.Opt) -> list[str]:
    default = opt.sample_default if opt.sample_default is not None else opt.default
    if default is None:
        shown = "unset"
    elif isinstance(default, list):
        shown = f"`{','.join(default)}`"
    elif isinstance(default, bool):
        shown = f"`{str(default).lower()}`"
    else:
        shown = f"`{default}`" if str(default) else "empty"
    return [f"`{opt.name}`", shown, _accepted(opt), " ".join(str(opt.help).split())]


def _accepted(opt: cfg.Opt) -> str:
    choices = getattr(opt.type, "choices", None)
    if choices:
        return "; ".join(f"`{name or repr('')}`: {what}" for name, what in choices.items())
    least, most = getattr(opt.type, "min", None), getattr(opt.type, "max", None)
    bounds = [f"from {least}"] if least is not None else []
    bounds += [f"to {most}"] if most is not None else []
    kind = str(getattr(opt.type, "type_name", "value")).removesuffix(" value")
    return " ".join([kind, *bounds])


def microversions_page() -> str:
    """The microversions and what each one added."""
    lines = inspect.getsource(versions).splitlines()
    matches = (re.match(r"\s+(\d+),\s+# (.+)", line) for line in lines)
    notes = {match[1]: match[2] for match in matches if match}
    rows = ([str(version), notes.get(str(version.minor), "")] for version in versions.VERSIONS)
    return f"""{_NOTE}
# Microversions

Asked for with the header `OpenStack-API-Version: container 1.N`. Without it, a request is taken as the
lowest.

{table(["version", "what it added"], rows)}"""


def policies_page() -> str:
    """Every policy rule."""
    rules = list_rules()
    shared = ([f"`{r.name}`", _check(r), str(r.description)] for r in rules if not _documented(r))
    rows = (
        [f"`{r.name}`", _check(r), _operations(r), str(r.description)]
        for r in rules
        if isinstance(r, policy.DocumentedRuleDefault)
    )
    return f"""{_NOTE}
# Policy rules

Who may do what. An operator overrides a rule in `policy.yaml`
([oslo.policy](https://docs.openstack.org/oslo.policy/latest/)); a change counts within about a second.
`oslopolicy-sample-generator --namespace zun` writes a file with all of them.

The defaults are on the roles `reader`, `member`, `manager` and `admin`, each of which may do what the one
before it may. `admin` reaches every project; the others their own, and what is in another project does not
exist for them (404). All rules are in project scope: a token without a project is refused.

Zun's older default let everybody in a project do everything a member may, whatever the role. It is accepted
again with `[oslo_policy] enforce_new_defaults = false`, for clouds whose users have none of these roles.

## Roles, by which the rules are said

{table(["rule", "default", "who"], shared)}
## Rules

A rule `container:get_one:<field>` or `registry:get_one:<field>` that an operator adds hides that field from
whom it does not allow, and refuses the filter of that name.

{table(["rule", "default", "operations", "what it allows"], rows)}"""


def _documented(rule: policy.RuleDefault) -> bool:
    return isinstance(rule, policy.DocumentedRuleDefault)


def _check(rule: policy.RuleDefault) -> str:
    return f"`{rule.check_str}`" if rule.check_str != "!" else "`!` (nobody)"


def _operations(rule: policy.DocumentedRuleDefault) -> str:
    return "<br>".join(f"`{o['method']} {o['path']}`" for o in rule.operations)


def openapi_document() -> str:
    """The description of the API for programs, with the bounds of an installation that changed none."""
    made = build(ROUTES, ApiSettings())
    return orjson.dumps(made, option=orjson.OPT_INDENT_2).decode() + "\n"


def api_page() -> str:
    """The description of the API for people."""
    return f"""{_NOTE}
# The API

For programs: [openapi.json](openapi.json), which the service also serves at `/v1/openapi.json`.

{render(build(ROUTES, ApiSettings()))}"""


def sample() -> str:
    """zun.conf with every option commented out, ours and those of the libraries we hand it to."""
    settings = cfg.ConfigOpts()
    generator.register_cli_opts(settings)
    namespaces = (
        "zun", "oslo.log", "oslo.policy", "oslo.messaging", "keystonemiddleware.auth_token", "oslo.middleware.cors",
        "oslo.middleware.http_proxy_to_wsgi",
    )  # fmt: skip
    settings(args=[f"--namespace={name}" for name in namespaces], default_config_files=[])
    buffer = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the libraries import
        generator.generate(settings, buffer)
    return re.sub(r"[ \t]+$", "", buffer.getvalue(), flags=re.MULTILINE)


#: page -> what makes it.
PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/lifecycle.md": lifecycle_page,
    "docs/reference/configuration.md": configuration_page,
    "docs/reference/microversions.md": microversions_page,
    "docs/reference/policies.md": policies_page,
    "docs/reference/openapi.json": openapi_document,
    "docs/reference/api.md": api_page,
    "etc/zun.conf.sample": sample,
}


def stale(root: Path) -> dict[str, str]:
    """The pages below `root` that differ from what the code makes: page -> difference."""
    found = {}
    for page, make in PAGES.items():
        path = root / page
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        new = make()
        if old != new:
            lines = difflib.unified_diff(
                old.splitlines(),
                new.splitlines(),
                f"{page} (as it is)",
                f"{page} (as made)",
                n=1,
                lineterm="",
            )
            found[page] = "\n".join(list(lines)[:_DIFF_LINES])
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pages, or with --check compare them; 0, or 1 where one differs."""
    parser = argparse.ArgumentParser(prog="zun.cmd.generate_docs", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing, fail where one differs"
    )
    parser.add_argument("--root", type=Path, default=_ROOT, help="the checkout (default: this one)")
    args = parser.parse_args(argv)
    if args.check:
        found = stale(args.root)
        for page, difference in found.items():
            print(f"{page} is not what the code makes; run: python -m zun.cmd.generate_docs")
            print(difference)
        return 1 if found else 0
    for page, make in PAGES.items():
        path = args.root / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
