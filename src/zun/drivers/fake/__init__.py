"""In-memory fakes of the four drivers: they obey the contracts, and misbehave as told (`script`).

fake.script("create", Fail(Unavailable("x"), times=2), Block(event, then=LoseReply()))
    the next two calls fail; the third waits for the event, takes effect and loses its reply; later ones are normal.
fake.calls is what was asked, in order. FakeRuntime acts behind the service's back by die, vanish, pause_behind, ...
"""

from zun.drivers.fake.images import FakeImages
from zun.drivers.fake.networks import FakeNetworks
from zun.drivers.fake.runtime import FakeRuntime
from zun.drivers.fake.script import Act, Block, Call, Fail, LoseReply
from zun.drivers.fake.volumes import FakeVolumes

__all__ = [
    "Act",
    "Block",
    "Call",
    "Fail",
    "FakeImages",
    "FakeNetworks",
    "FakeRuntime",
    "FakeVolumes",
    "LoseReply",
]
