"""A pool of connections → one that reaches public addresses only, whatever a name resolves to.

The address that was checked is the one that is connected to, for every redirect anew.
"""

import ipaddress
import socket
from typing import Any, Final

import urllib3
from urllib3.exceptions import NewConnectionError

from dataservice.errors import SourceError

_EMBEDDING: Final = tuple(
    map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"))
)


def is_public(address: str) -> bool:
    """Whether an address is one of the open Internet, not one that leads inside in disguise."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        elif any(parsed in network for network in _EMBEDDING):
            return False
    return parsed.is_global and not parsed.is_multicast


def public_addresses(host: str, port: int) -> list[str]:
    """All addresses of a host.

    Raises:
        SourceError: when one of them is not public.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not is_public(address):
            raise SourceError(
                f"host {host!r} is at {address}, which is not a public address; a request may not "
                "read from there"
            )
    return addresses


def guarded(pool: urllib3.PoolManager) -> urllib3.PoolManager:
    """The same pool, with connections that check where they go."""
    kinds: dict[str, Any] = dict(pool.pool_classes_by_scheme)
    pool.pool_classes_by_scheme = {
        scheme: type(f"Guarded{scheme}", (kind,), {"ConnectionCls": _guarded(kind.ConnectionCls)})
        for scheme, kind in kinds.items()
    }
    return pool


def _guarded(connection: Any) -> Any:
    """A kind of connection that resolves, checks, and goes to the address that it checked."""

    def connect(self: Any) -> socket.socket:
        asked = self._dns_host
        try:
            self._dns_host = public_addresses(asked, self.port)[0]
            sock: socket.socket = connection._new_conn(self)
        except (socket.gaierror, UnicodeError) as error:
            raise NewConnectionError(self, f"no address of {asked!r}: {error}") from error
        finally:
            self._dns_host = asked
        return sock

    return type("Guarded", (connection,), {"_new_conn": connect})
