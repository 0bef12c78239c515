"""Users who create, look, run commands, stop, start, pause and delete while everything around them breaks."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import quote, urlsplit

from tests.support.images import FOREVER
from tests.support.verdict import Promise

#: Seconds a client waits for an answer. Whoever waits longer has got none, and nobody knows what became of it.
ANSWER = 30.0
#: Statuses a request may be refused with while things break: 500 is never among them.
REFUSED = frozenset({404, 409, 503, 504})
_MOST = 5
#: How likely what is made is a capsule, and how likely one is deleted once it is looked at.
_PAIRS, _PAIR_GOES = 0.15, 0.3
_IMAGE = "busybox"
_VERSION = "container 1.43"
#: Of one that may be made anew elsewhere. A kill is not for it: its restart policy starts it again.
_MOVABLE = {"restart_policy": {"Name": "always"}, "hints": {"on_host_failure": "recreate"}}
_RUNNING = ("exec", "exec", "logs", "stop", "pause", "reboot", "delete")
_VERBS: Mapping[str, Sequence[str]] = {
    "Running": (*_RUNNING, "kill"),
    "Stopped": ("start", "start", "delete"),
    "Created": ("start", "delete"),
    "Paused": ("unpause",),
    "Error": ("delete",),
}
_QUERIES = {
    "stop": "?timeout=10",
    "reboot": "?timeout=10",
    "kill": "?signal=SIGKILL",
}


@dataclass
class Answer:
    """What came back; `status` None: nothing did."""

    status: int | None
    body: Any = None
    request_id: str = ""


class Api:
    """Any of several addresses of the same API, with the headers that say who asks."""

    def __init__(self, urls: Sequence[str], headers: Callable[[], Mapping[str, str]]) -> None:
        self._urls = urls
        self._headers = headers

    def ask(self, method: str, path: str, body: Any = None, which: int = 0, **more: str) -> Answer:
        """One request to the address `which`; it is never asked again by itself."""
        url = urlsplit(self._urls[which % len(self._urls)])
        door = http.client.HTTPConnection(url.hostname or "", url.port, timeout=ANSWER)
        sent = {"OpenStack-API-Version": _VERSION, "Content-Type": "application/json"}
        try:
            sent |= self._headers() | {k.replace("_", "-"): v for k, v in more.items()}
            data = None if body is None else json.dumps(body)
            door.request(method, f"{url.path}{path}", body=data, headers=sent)
            with door.getresponse() as answer:  # closed even if half of it is missing
                raw = answer.read()
        except (OSError, http.client.HTTPException):
            return Answer(None)
        finally:
            door.close()
        found = (
            json.loads(raw) if raw and "json" in answer.headers.get("Content-Type", "") else None
        )
        again = "Idempotency-Replayed" in answer.headers
        ident = "" if again else answer.headers.get("X-Openstack-Request-Id", "")
        return Answer(answer.status, found, ident)


class Client:
    """One user at work until told to stop. It remembers what it was promised, and what it was told that may not be."""

    def __init__(self, number: int, api: Api, seed: int, stopping: threading.Event) -> None:
        self.promises: list[Promise] = []
        self.wrong: list[str] = []
        self.done = 0
        self._number = number
        self._api = api
        self._dice = Random(seed)
        self._stopping = stopping
        self._mine: list[str] = []
        self._movable: set[str] = set()
        self._capsules: set[str] = set()
        self._made = 0
        self.thread = threading.Thread(target=self._work, name=f"client-{number}")

    def _work(self) -> None:
        while not self._stopping.is_set():
            if self._dice.random() < 1 - len(self._mine) / _MOST:
                if self._dice.random() < _PAIRS:
                    self._create_capsule()
                else:
                    self._create()
            else:
                self._act(self._dice.choice(self._mine))
            # Thinking; and a service that is away is not asked a thousand times.
            self._stopping.wait(self._dice.uniform(0.05, 0.4))

    def _create(self) -> None:
        self._made += 1
        name = f"chaos-{self._number}-{self._made}"
        run, movable = self._dice.random() < 0.85, self._dice.random() < 0.4
        body = {"name": name, "image": _IMAGE, "command": FOREVER, "cpu": 0.1, "memory": 16}
        body |= _MOVABLE if movable else {}
        # A client that got no answer asks again with the same key: that must not make a second one.
        for _ in range(3):
            where = self._dice.randrange(8)
            answer = self._api.ask(
                "POST",
                f"/containers?run={str(run).lower()}",
                body,
                where,
                Idempotency_Key=f"{name}-key",
            )
            self._remember("create", answer, name=name)
            if answer.status == 202:
                self._mine.append(answer.body["uuid"])
                if movable:
                    self._movable.add(answer.body["uuid"])
                return
            if answer.status is not None or self._stopping.wait(0.5):
                return

    def _create_capsule(self) -> None:
        self._made += 1
        name = f"chaos-{self._number}-{self._made}"
        small = {"requests": {"cpu": 0.1, "memory": 16}}
        box = {"image": _IMAGE, "resources": small}
        spec = {
            "containers": [{**box, "command": FOREVER}],
            "initContainers": [{**box, "command": ["true"]}],
        }
        template = {"kind": "capsule", "metadata": {"name": name}, "spec": spec}
        where = self._dice.randrange(8)
        answer = self._api.ask("POST", "/capsules", {"template": template}, where)
        self._remember("create", answer, name=name)
        if answer.status == 202:
            self._mine.append(answer.body["uuid"])
            self._capsules.add(answer.body["uuid"])

    def _act(self, uuid: str) -> None:
        what = "capsules" if uuid in self._capsules else "containers"
        shown = self._api.ask("GET", f"/{what}/{uuid}", which=self._dice.randrange(8))
        if shown.status == 404:
            self._mine.remove(uuid)
            return
        self._remember("show", shown)
        if shown.status != 200 or shown.body.get("task_state"):
            return
        if uuid in self._capsules:
            if self._dice.random() < _PAIR_GOES:
                path, where = f"/capsules/{uuid}", self._dice.randrange(8)
                self._remember("delete", self._api.ask("DELETE", path, which=where), uuid)
            return
        verbs = _VERBS.get(shown.body["status"])
        if verbs and shown.body["status"] == "Running" and uuid in self._movable:
            verbs = _RUNNING
        if verbs:
            self._do(uuid, self._dice.choice(verbs))

    def _do(self, uuid: str, verb: str) -> None:
        where = self._dice.randrange(8)
        if verb == "exec":
            word = f"{self._number}-{self.done}"
            command = quote(f"echo {word}")
            answer = self._api.ask(
                "POST", f"/containers/{uuid}/execute?command={command}&run=true", which=where
            )
            self._remember("execute", answer)
            # An engine that could not run it says so, as a shell does: with 126.
            if (
                answer.status == 200
                and answer.body["exit_code"] == 0
                and word not in answer.body["output"]
            ):
                self.wrong.append(f"echo {word} in {uuid} was answered with {answer.body}")
        elif verb == "logs":
            self._remember("logs", self._api.ask("GET", f"/containers/{uuid}/logs", which=where))
        elif verb == "delete":
            answer = self._api.ask("DELETE", f"/containers/{uuid}?stop=true", which=where)
            self._remember("delete", answer, uuid)
        else:
            query = _QUERIES.get(verb, "")
            answer = self._api.ask("POST", f"/containers/{uuid}/{verb}{query}", which=where)
            self._remember(verb, answer, uuid)

    def _remember(self, action: str, answer: Answer, uuid: str = "", name: str = "") -> None:
        self.done += answer.status in (200, 202, 204)
        if action in ("show", "execute", "logs"):
            accepted = answer.status in (None, 200)
        else:
            accepted = answer.status in (None, 202, 204)
            made = answer.body["uuid"] if answer.status == 202 and action == "create" else uuid
            self.promises.append(
                Promise(
                    action=action,
                    status=answer.status,
                    uuid=made,
                    request_id=answer.request_id,
                    name=name,
                )
            )
        if not accepted and answer.status not in REFUSED:
            self.wrong.append(f"{action} {uuid}: {answer.status} {answer.body}")
