"""The bus over oslo.messaging: RabbitMQ between processes and hosts (decision 0017).

Nudges of `@...` queues go to everybody who listens (fanout), those of a host's queue to its agent (cast). Questions
are calls to the agent of a host. The library's own threads do the work; nothing is monkey patched.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import threading
import time
import uuid
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from oslo_config import cfg
from prometheus_client import CollectorRegistry

from zun.bus import RPC_VERSION, Answer, Refused, Why, codec
from zun.bus.metrics import BusMetrics
from zun.bus.publisher import Publisher

with warnings.catch_warnings():
    # They import eventlet where that is installed, which says of itself that it is not to be used. It is not.
    warnings.simplefilter("ignore")
    from oslo_service import backend

    backend.init_backend(backend.BackendType.THREADING)
    import oslo_messaging
    from oslo_concurrency import lockutils
    from oslo_messaging import opts as library_options

LOG = logging.getLogger(__name__)

#: Exchange of our topics, so that nothing of ours meets other services of the cloud on one RabbitMQ.
_EXCHANGE = "zun"
_HOSTS = "zun-compute"
_HOST_QUEUE = "host:"
#: Seconds of silence of a host at work on a question after which nobody waits for it any more.
_MONITOR = 10
#: Tries, beyond the first, to hand over a question.
_RETRIES = 1
#: Seconds in which the library must have ended.
_END = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OsloSettings:
    """`name`: of this process, which no other that runs has; the same after a restart. `host`: the machine's.

    `questions`: asked at the same time by this process. `bytes`: of one message; RabbitMQ refuses more than 16 MiB
    unless it is told otherwise. `locks`: a directory of this machine for the library's lock files.
    """

    url: str
    name: str
    host: str
    locks: str
    questions: int = 64
    bytes: int = 15 * 1024 * 1024


class OsloBus:
    """See `zun.bus.Bus`. `start` it, `stop` it; listeners and answers may be added at any time."""

    def __init__(
        self, conf: cfg.ConfigOpts, settings: OsloSettings, registry: CollectorRegistry
    ) -> None:
        """`conf`: of nobody else, read from the operator's files; the library adds its options. Connects to nothing.

        Raises ValueError: the URL can't be used.
        """
        self._settings = settings
        self._metrics = BusMetrics(registry)
        self._wakes: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)
        self._answers: dict[str, Mapping[str, Answer]] = {}
        self._servers: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._started = False
        self._transport = _transport(conf, settings)
        # A message that no queue takes comes back at once, instead of being waited for.
        certain = oslo_messaging.TransportOptions(at_least_once=True)
        target = oslo_messaging.Target(topic=_HOSTS)
        self._asker = oslo_messaging.get_rpc_client(
            self._transport, target, transport_options=certain
        )
        self._nudger = oslo_messaging.get_rpc_client(self._transport, target)
        self._slots = threading.BoundedSemaphore(settings.questions)
        self.publisher = Publisher(self._send, self._metrics)

    # ---- life

    def start(self) -> None:
        """Begins to connect; returns at once, whether anybody is there or not."""
        self._started = True
        self.publisher.start()
        for topic, server in list(self._servers):
            self._serve(topic, server)

    def stop(self) -> None:
        """Ends, within seconds: what listens listens no more, questions being answered may be cut short."""
        self._stopping = True
        self.publisher.stop(_END)
        ender = threading.Thread(target=self._end, name="bus-end", daemon=True)
        ender.start()
        ender.join(_END)

    def _end(self) -> None:
        for server in list(self._servers.values()):
            if server is not None:
                server.stop()
        for server in list(self._servers.values()):
            if server is not None:
                server.wait()
        self._transport.cleanup()

    def probe(self) -> str:
        """For the health report: how it is. Never a failure: work goes on without it, slower."""
        if self.publisher.connected:
            return "connected"
        return f"not connected, work is found by looking ({self.publisher.failure})"

    # ---- nudges

    def nudge(self, queue: str) -> None:
        """Has those who listen to `queue` look; here at once, elsewhere soon."""
        self._wake(queue)
        if not (queue.startswith(_HOST_QUEUE) and queue in self._wakes):
            self.publisher.nudge(queue)

    def _wake(self, queue: str) -> None:
        for wake in self._wakes.get(queue, ()):
            wake()

    def _send(self, queue: str) -> None:
        """Hands one nudge over. Raises where that fails; may take as long as the connection lets it."""
        topic, server = self._place(queue)
        prepared = self._nudger.prepare(
            topic=topic, server=server or None, fanout=not server, retry=0
        )
        prepared.cast({}, "nudge", queue=queue)

    def _place(self, queue: str) -> tuple[str, str]:
        """Topic and server of a queue of ours; no server = everybody who listens."""
        if queue.startswith(_HOST_QUEUE):
            return _HOSTS, queue.removeprefix(_HOST_QUEUE)
        return f"zun-{queue.removeprefix('@')}", ""

    def listen(self, queue: str, wake: Callable[[], None]) -> None:
        """Has `wake` called at each nudge of `queue`, from wherever it comes."""
        self._wakes[queue].append(wake)
        topic, server = self._place(queue)
        self._want(topic, server or self._settings.name)

    def answer(self, host: str, answers: Mapping[str, Answer]) -> None:
        """Offers the answers of `host`."""
        self._answers[host] = answers
        self._want(_HOSTS, host)

    def _want(self, topic: str, server: str) -> None:
        with self._lock:
            if (topic, server) in self._servers:
                return
            self._servers[topic, server] = None
        if self._started:
            self._serve(topic, server)

    def _serve(self, topic: str, server: str) -> None:
        # In a thread: it returns only once somebody is there to connect to.
        threading.Thread(
            target=self._listen, args=(topic, server), name=f"bus-listen-{topic}", daemon=True
        ).start()

    def _listen(self, topic: str, server: str) -> None:
        while not self._stopping:
            try:
                # Threads are its executor unless the process is patched, which `zun.cmd` refuses.
                made = oslo_messaging.get_rpc_server(
                    self._transport,
                    oslo_messaging.Target(topic=topic, server=server),
                    [_Endpoint(self._wake, self._answer)],
                )
                made.start()
            except Exception as exc:
                LOG.warning("can't listen on %s yet: %s", topic, exc)
                time.sleep(1)
                continue
            self._servers[topic, server] = made
            LOG.info("listening on %s as %s", topic, server)
            # What was nudged before we listened is looked for once.
            for queue in list(self._wakes):
                if self._place(queue)[0] == topic:
                    self._wake(queue)
            return

    # ---- questions

    def _answer(self, host: str, question: str, text: str, seconds: float) -> str:
        """The answer to somebody's question, as text. Raises Refused."""
        answers = self._answers.get(host, {})
        if question not in answers:
            raise Refused(
                Why.UNSUPPORTED,
                f"Host {host} knows no question {question[:40]}: it may run another release.",
            )
        self._metrics.answered.labels(question).inc()
        said = codec.dumps(answers[question](codec.loads(text), seconds))
        if len(said) > self._settings.bytes:
            raise Refused(
                Why.REJECTED,
                f"The answer is larger than what the message queue carries ({self._settings.bytes} bytes).",
            )
        return said

    def ask(self, host: str, question: str, arguments: Mapping[str, Any], seconds: float) -> Any:
        """The answer of `host` within `seconds`; at once a refusal where nobody can be asked."""
        began = time.monotonic()
        outcome = "answered"
        try:
            return self._ask(host, question, arguments, seconds)
        except Refused as exc:
            outcome = exc.why
            raise
        finally:
            self._metrics.questions.labels(question, outcome).observe(time.monotonic() - began)

    def _ask(self, host: str, question: str, arguments: Mapping[str, Any], seconds: float) -> Any:
        text = codec.dumps(arguments)
        if len(text) > self._settings.bytes:
            raise Refused(
                Why.REJECTED,
                f"The request is larger than what the message queue carries ({self._settings.bytes} bytes).",
            )
        if host in self._answers:
            return codec.loads(self._answer(host, question, text, seconds))
        if not self.publisher.connected:
            raise Refused(
                Why.UNAVAILABLE, f"The message queue is down: host {host} can't be asked now."
            )
        if not self._slots.acquire(blocking=False):
            raise Refused(Why.UNAVAILABLE, "Too many questions are under way; ask again later.")
        box: SimpleQueue[Mapping[str, str]] = SimpleQueue()
        # In a thread that may be left behind: with its broker gone the library waits as long as it likes. Until it
        # gives up, the slot stays taken.
        threading.Thread(
            target=lambda: box.put(self._call(host, question, text, seconds)),
            name="bus-question",
            daemon=True,
        ).start()
        try:
            reply = box.get(timeout=seconds + 1)
        except Empty:
            raise Refused(Why.TIMED_OUT, f"Host {host} did not answer in time.") from None
        if "why" in reply:
            raise Refused(_why(reply["why"]), str(reply.get("public", "")))
        return codec.loads(reply["answer"])

    def _call(self, host: str, question: str, text: str, seconds: float) -> Mapping[str, str]:
        try:
            prepared = self._asker.prepare(
                server=host,
                timeout=seconds,
                call_monitor_timeout=_MONITOR if seconds > _MONITOR else None,
                retry=_RETRIES,
            )
            reply: Mapping[str, str] = prepared.call(
                {}, "ask", version=RPC_VERSION, host=host, question=question, text=text,
                seconds=seconds,
            )  # fmt: skip
            return reply
        except oslo_messaging.MessageUndeliverable:
            return _refusal(
                Why.UNAVAILABLE, f"Host {host} does not listen: its agent is not there."
            )
        except oslo_messaging.MessagingTimeout:
            return _refusal(Why.TIMED_OUT, f"Host {host} did not answer in time.")
        except oslo_messaging.MessageDeliveryFailure as exc:
            self.publisher.failed(str(exc))
            return _refusal(
                Why.UNAVAILABLE, f"The message queue is down: host {host} can't be asked now."
            )
        except Exception as exc:
            LOG.exception("host %s can't be asked", host)
            self.publisher.failed(f"{type(exc).__name__}: {exc}")
            return _refusal(
                Why.UNAVAILABLE, f"The message queue is down: host {host} can't be asked now."
            )
        finally:
            self._slots.release()


class _Endpoint:
    """What others may call here. `version` is checked by us: the library would let a refused call's helper run on."""

    target = oslo_messaging.Target(version="1.0")

    def __init__(
        self, wake: Callable[[str], None], answer: Callable[[str, str, str, float], str]
    ) -> None:
        self._wake = wake
        self._answer = answer

    def nudge(self, _context: Mapping[str, Any], queue: str) -> None:
        """Somebody says: look into `queue`."""
        self._wake(queue)

    def ask(
        self,
        _context: Mapping[str, Any],
        version: Any = None,
        host: str = "",
        question: str = "",
        text: str = "{}",
        seconds: float = 1.0,
        **_newer: Any,
    ) -> Mapping[str, str]:
        """{"answer": text}, or {"why": ..., "public": ...}. A newer minor version may add arguments."""
        if _major(version) != _major(RPC_VERSION):
            LOG.warning("refused a question in version %r of the protocol", version)
            return _refusal(
                Why.UNSUPPORTED,
                f"Host {host} speaks version {RPC_VERSION} of the protocol between processes, not {version!r}: "
                "run releases that fit together.",
            )
        try:
            return {"answer": self._answer(host, question, text, seconds)}
        except Refused as exc:
            return _refusal(exc.why, exc.public)
        except Exception:
            # Never across the wire: what it says is for our log alone.
            code = uuid.uuid4().hex[:12]
            LOG.exception("defect %s answering %s", code, question)
            return _refusal(Why.UNKNOWN, f"Internal error, code {code}.")


def _refusal(why: Why, public: str) -> Mapping[str, str]:
    return {"why": why.value, "public": public}


def _why(text: str) -> Why:
    """A reason as it came; one that only a newer release knows is unknown here."""
    try:
        return Why(text)
    except ValueError:
        return Why.UNKNOWN


def _major(version: object) -> str:
    return str(version).partition(".")[0]


#: Options the library registers on the global configuration alone, and yet reads from the one it is given.
_STRAYS = (
    ("oslo_messaging._metrics.client", "oslo_messaging_metrics"),
    ("oslo_messaging._tracing.client", "oslo_messaging_tracing"),  # not in older releases
)


def _transport(conf: cfg.ConfigOpts, settings: OsloSettings) -> Any:
    for module, group in _STRAYS:
        with contextlib.suppress(ImportError):
            conf.register_opts(getattr(importlib.import_module(module), group), group=group)
    for group, options in library_options.list_opts():
        if group in (None, "oslo_messaging_rabbit"):
            conf.register_opts(options, group=group)
    conf.set_default("control_exchange", _EXCHANGE)
    # Replicated queues for questions, with names that stay the same over a restart, hence those of host and process.
    # Queues of replies and of nudges to all go with their broker and are made anew (decision 0017).
    defaults = {
        "rabbit_quorum_queue": True,
        "use_queue_manager": True,
        # Seconds: a broker that comes back is noticed soon, by hundreds of processes not in the same moment.
        "rabbit_retry_backoff": 1,
        "rabbit_interval_max": 5,
        "kombu_reconnect_splay": 1.0,
        "heartbeat_timeout_threshold": 20,
        "hostname": settings.host,
        "processname": settings.name,
    }
    for name, value in defaults.items():
        conf.set_default(name, value, group="oslo_messaging_rabbit")
    lockutils.set_defaults(settings.locks)
    try:
        return oslo_messaging.get_rpc_transport(conf, url=settings.url)
    except (oslo_messaging.InvalidTransportURL, oslo_messaging.DriverLoadFailure) as exc:
        raise ValueError(str(exc)) from exc
