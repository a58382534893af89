"""How a server stands in the world: where it listens, who may come in, from which pages, and what it takes."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from polyglot_lm.pipeline import UserError
from polyglot_lm.serving.limits import Limits

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What `polyglot serve` was told. `keys` None leaves the API open; `origins` are the pages of others that may call it (CORS).

    `names` are further host names under which an open server on loopback answers; `proxy` believes the addresses that a proxy on
    this machine reports.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    keys: Path | None = None
    origins: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    proxy: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise UserError(f"port is {self.port}; it must be 1 to 65535, or 0 for any free one")
        for origin in self.origins:
            if not origin.startswith(("http://", "https://")) or origin.count("/") != 2:
                raise UserError(f"origin is {origin!r}; write it as a browser does, such as https://example.org")

    @property
    def loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def hosts(self) -> frozenset[str] | None:
        """Return the host names answered to, None for all.

        Without keys, loopback is the only door, and a page elsewhere could pass it by pointing its own name at 127.0.0.1
        (DNS rebinding): such a request carries that name.
        """
        return LOCAL_NAMES | frozenset(self.names) if self.loopback and self.keys is None else None

    def warnings(self) -> tuple[str, ...]:
        """Say what is risky about these settings."""
        found = []
        if not self.loopback and self.keys is None:
            found.append(
                f"listening on {self.host} without keys: everybody who reaches this machine can use the models; add --keys"
            )
        if not self.loopback:
            found.append("texts and keys travel unencrypted; put a proxy with TLS in front (docs/deploy.md)")
        return tuple(found)
