"""Messages between a run and its workers: Python values over a TCP connection that begins with a password.

A message is its length, 8 bytes, and a pickled tuple. Nothing is unpickled before the password was right.
"""

import asyncio
import pickle
import secrets
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

_LENGTH = struct.Struct(">Q")
_PATIENCE = 20.0
"""Seconds in which a new connection must give its password, and in which a worker must reach the run."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a worker needs to reach its run.

    Attributes:
        host: address of the run's machine.
        port: the port there.
        password: 64 letters.
        number: the worker's number, from 0.
    """

    host: str
    port: int
    password: str
    number: int


def new_password() -> str:
    """Returns a password that nobody can guess."""
    return secrets.token_hex(32)


class Connection:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take an open connection."""
        self._reader = reader
        self._writer = writer
        with suppress(OSError, AttributeError):
            opened = writer.get_extra_info("socket")
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    @classmethod
    async def to_run(cls, start: Start) -> "Connection":
        """Connect a worker to its run. Raises OSError."""
        reader, writer = await asyncio.wait_for(asyncio.open_connection(start.host, start.port), _PATIENCE)
        writer.write(start.password.encode())
        return cls(reader, writer)

    @classmethod
    async def of_worker(
        cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, password: str
    ) -> "Connection | None":
        """Returns the connection of a worker; None where it does not give the password, so that it was closed."""
        try:
            given = await asyncio.wait_for(reader.readexactly(len(password)), _PATIENCE)
        except (OSError, EOFError, TimeoutError):
            given = b""
        if not secrets.compare_digest(given, password.encode()):
            writer.close()
            return None
        return cls(reader, writer)

    def send(self, kind: str, *values: Any) -> None:
        """Send a message; where the other end is gone, it is lost."""
        if not self._writer.is_closing():
            data = pickle.dumps((kind, *values), pickle.HIGHEST_PROTOCOL)
            self._writer.write(_LENGTH.pack(len(data)) + data)

    async def messages(self) -> AsyncIterator[tuple[Any, ...]]:
        """Yield messages until the other end is gone."""
        while True:
            try:
                (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
                data = await self._reader.readexactly(length)
            except (OSError, EOFError):
                return
            yield pickle.loads(data)  # noqa: S301, the other end gave the password

    async def flush(self) -> None:
        """Wait until everything was sent, or the other end is gone."""
        with suppress(OSError):
            await self._writer.drain()

    async def aclose(self) -> None:
        """Close the connection after everything was sent."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
