"""The WSGI servers that operators have, started with the files we ship."""

from __future__ import annotations

from pathlib import Path

from tests.support.parts import BIN

APPLICATION = "zun.wsgi.api:application"
_ETC = Path(__file__).parents[2] / "etc"


def gunicorn(
    port: int, file: Path, *extra: str, under: str = "", app: str = APPLICATION
) -> list[str]:
    """What starts gunicorn; said again is only where it listens, its configuration, and a path to be `under`."""
    path = ["--env", f"SCRIPT_NAME={under}"] if under else []
    return [
        str(BIN / "gunicorn"), "--config", str(_ETC / "gunicorn/zun-api.conf.py"), *extra,
        "--bind", f"127.0.0.1:{port}", "--env", f"OS_ZUN_CONFIG_FILES={file}", *path, app,
    ]  # fmt: skip


def uwsgi(
    port: int, file: Path, *, late: bool = False, under: bool = False, app: str = APPLICATION
) -> list[str]:
    """What starts uWSGI; in a copy of the file, beside `file`, where it listens and is configured.

    `late`: it forks after the application is there. `under` the path that the file names.
    """
    text = (_ETC / "uwsgi/zun-api.ini").read_text()
    changes = {
        "= 127.0.0.1:9517\n": f"= 127.0.0.1:{port}\n",
        "=/etc/zun/zun.conf\n": f"={file}\n",
        f"\nmodule = {APPLICATION}\n": f"\nmodule = {app}\n",
    }
    if under:
        changes[f"\nmodule = {APPLICATION}\n"] = "\n"
        changes["\n;mount ="] = "\nmount ="
        changes["\n;manage-script-name ="] = "\nmanage-script-name ="
    if late:
        changes["lazy-apps = true\n"] = ""
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    ini = file.with_suffix(".ini")
    ini.write_text(text)
    return [str(BIN / "uwsgi"), "--ini", str(ini), "--virtualenv", str(BIN.parent)]
