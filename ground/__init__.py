"""The ground segment: server, clients and console commands for payloads known by their packets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ground.client.client import Client, connect
    from ground.client.client_async import AsyncClient, connect_async

__all__ = ["AsyncClient", "Client", "connect", "connect_async"]


def __getattr__(name: str) -> Any:
    """Clients are imported when they are asked for: a console command starts in no time."""
    if name in ("Client", "connect"):
        from ground.client import client

        return getattr(client, name)
    if name in ("AsyncClient", "connect_async"):
        from ground.client import client_async

        return getattr(client_async, name)
    raise AttributeError(f"module 'ground' has no attribute '{name}'")
