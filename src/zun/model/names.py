"""Every name we give to things outside our database derives from a uuid, so that it can be found again."""

from __future__ import annotations

import random
import uuid

GREEK = (
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu",
    "nu", "xi", "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
)  # fmt: skip

#: Engine labels by which our containers and networks are known, whatever their name.
LABEL_UUID = "org.openstack.zun.uuid"
LABEL_PROJECT = "org.openstack.zun.project"
LABEL_GENERATION = "org.openstack.zun.generation"
LABEL_HOST = "org.openstack.zun.host"
LABEL_MOVABLE = "org.openstack.zun.movable"

#: Label of an image that was made of a container, and of whatever is made of that.
LABEL_COMMITTED = "org.openstack.zun.committed"


def runtime_name(container_uuid: str) -> str:
    """The engine's name of a container (contract 13.1-23)."""
    return f"zun-{container_uuid}"


def network_name(network_uuid: str) -> str:
    """The engine's name of a network."""
    return f"zun-{network_uuid}"


def port_uuid(container_uuid: str, network_uuid: str) -> str:
    """The uuid of a container's port on a network of the Docker network driver."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"zun:port:{container_uuid}:{network_uuid}"))


def generated_name() -> str:
    """A name for a container whose user gave none (contract 3.4)."""
    return f"{random.choice(GREEK)}-{random.randint(1, 24)}-container"


def member_name(capsule: str) -> str:
    """A name for a container of a capsule, which is named by its name or uuid (contract 3.4)."""
    return f"capsule-{capsule[:200]}-{random.choice(GREEK)}-{random.randint(1, 24)}"


def new_uuid() -> str:
    """A random uuid in its usual spelling."""
    return str(uuid.uuid4())


def uuid_or_none(ident: str) -> str | None:
    """`ident` in the spelling uuids are stored in where it is one (any accepted spelling), else None."""
    try:
        return str(uuid.UUID(ident))
    except ValueError:
        return None


def subnet_uuid(network_uuid: str) -> str:
    """The uuid under which the one subnet of a network of the Docker network driver is shown."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"zun:subnet:{network_uuid}"))
