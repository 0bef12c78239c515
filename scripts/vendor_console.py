"""The work of scripts/vendor-console: packages of the npm registry, pinned by version and hash, into the source."""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).resolve().parents[1] / "src/zun/wsproxy/console/vendor"
LOCK = VENDOR / "lock.json"

#: Package -> what is taken of it: file in the package -> name here.
WANTED = {
    "@xterm/xterm": {"lib/xterm.js": "xterm.js", "css/xterm.css": "xterm.css"},
    "@xterm/addon-fit": {"lib/addon-fit.js": "addon-fit.js"},
}


def pack(name: str, version: str, folder: Path) -> Path:
    """Fetches a package's archive by the ordinary client; its path."""
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder), f"{name}@{version}"]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return folder / printed.split()[-1]


def integrity(archive: Path) -> str:
    """As npm writes it."""
    digest = hashlib.sha512(archive.read_bytes()).digest()
    return "sha512-" + base64.b64encode(digest).decode()


def read(archive: Path, member: str) -> bytes:
    """One file of a package."""
    with tarfile.open(archive) as tar:
        found = tar.extractfile(f"package/{member}")
        assert found is not None, member
        return found.read()


def take(name: str, locked: dict[str, str] | None, folder: Path) -> tuple[dict[str, Any], str]:
    """Writes a package's files; its entry in the lock, and its licence. Ends the program if the hash is another."""
    archive = pack(name, locked["version"] if locked else "latest", folder)
    found = integrity(archive)
    if locked and found != locked["integrity"]:
        sys.exit(f"{name} {locked['version']} is not what was locked: {found}")
    about = json.loads(read(archive, "package.json"))
    hashes = {}
    for member, target in WANTED[name].items():
        content = read(archive, member)
        (VENDOR / target).write_bytes(content)
        hashes[target] = hashlib.sha256(content).hexdigest()
    entry = {
        "version": about["version"],
        "license": about["license"],
        "integrity": found,
        "files": hashes,
    }
    licence = read(archive, "LICENSE").decode().strip()
    return entry, f"{name} {about['version']} ({about['license']})\n\n{licence}\n"


def main() -> None:
    """Fetch, verify, write."""
    parser = argparse.ArgumentParser(prog="vendor-console", description=__doc__)
    parser.add_argument("--update", action="store_true", help="take the newest versions")
    args = parser.parse_args()
    lock = {} if args.update else json.loads(LOCK.read_text())["packages"]
    VENDOR.mkdir(parents=True, exist_ok=True)
    entries, licences = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for name in WANTED:
            entries[name], licence = take(name, lock.get(name), Path(folder))
            licences.append(licence)
    text = "\n\n".join(licences)
    (VENDOR / "LICENSES.txt").write_text(text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    whole = {"packages": entries, "licenses": {"LICENSES.txt": digest}}
    LOCK.write_text(json.dumps(whole, indent=2) + "\n")
    for name, entry in entries.items():
        sys.stdout.write(f"{name} {entry['version']}\n")


if __name__ == "__main__":
    main()
