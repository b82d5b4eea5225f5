"""Which process of a run died, and why: the others learn it within seconds, and do not wait for it for ever.

Each process keeps a connection to the main one, which the system closes with the process, however that ends. What ends
by an error says so first. Where a machine is gone nobody closes its connections, so all send a sign of life.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

PATIENCE = 10.0  # seconds for a process to connect, and to take a message
BEAT, SILENCE = 5.0, 60.0  # seconds between signs of life; without one a process counts as gone
TICK = 0.2  # seconds in which the thread finds out that it is to end
SAID, ENDED = 10.0, 30.0  # seconds after which one that waits for a lost one says so, and then is ended
FAILED = "failed: "
WITHOUT_A_WORD = "was killed, such as for want of memory, or its machine is gone"


@dataclass(frozen=True)
class Lost:
    """A process that ended too early. why: a clause that follows its name."""

    rank: int
    host: str
    pid: int
    why: str

    def __str__(self) -> str:
        return f"process {self.rank} (pid {self.pid} on {self.host}) {self.why}"


class Peer:
    """A connection to another process, and who that is."""

    def __init__(self, connection: socket.socket, rank: int = 0, host: str = "") -> None:
        self.connection = connection
        self.connection.settimeout(PATIENCE)
        self.rank, self.host, self.pid = rank, host, 0
        self.left, self.heard = False, time.monotonic()
        self._rest = b""

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; one who is gone does not get it."""
        with suppress(OSError):
            self.connection.sendall(json.dumps(message).encode() + b"\n")

    def received(self) -> list[dict[str, Any]] | None:
        """What arrived; None if the other side has closed."""
        self.heard = time.monotonic()
        try:
            data = self.connection.recv(65536)
        except OSError:
            data = b""
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]


class Liveness:
    """Watches over the processes of a run, in a thread of its own, from the time it is made until it is closed.

    rank, world: this process, of how many. share: gives the main process's value to all; all call it alike.
    """

    def __init__(self, rank: int, world: int, share: Callable[[Any], Any]) -> None:
        self.rank, self.world = rank, world
        self.lost: Lost | None = None
        self._found, self._closed = threading.Event(), threading.Event()
        self._peers: list[Peer] = []
        # On all addresses: the name under which the others know this machine may be one that it has for itself alone.
        listening = socket.create_server(("", 0)) if rank == 0 else None
        name, port = os.environ.get("MASTER_ADDR", "localhost"), listening.getsockname()[1] if listening else 0
        host, port, token = share((name, port, secrets.token_hex()))
        if listening is not None:
            self._accept(listening, token)
        else:
            self._connect(host, port, token)
        self._thread = threading.Thread(target=self._watch, name="liveness", daemon=True)
        self._thread.start()

    def _connect(self, host: str, port: int, token: str) -> None:
        with suppress(OSError):  # the main process waits in vain, and says so
            peer = Peer(socket.create_connection((host, port), PATIENCE), 0, host)
            peer.send({"token": token, "rank": self.rank, "host": socket.gethostname(), "pid": os.getpid()})
            self._peers = [peer]

    def _accept(self, listening: socket.socket, token: str) -> None:
        listening.settimeout(PATIENCE)
        with suppress(OSError), listening:
            while len(self._peers) < self.world - 1:
                peer = Peer(listening.accept()[0])
                with suppress(ValueError, KeyError, TypeError, AttributeError):  # a stranger who found the port
                    hello = (peer.received() or [{}])[0]
                    if secrets.compare_digest(hello["token"], token):
                        peer.rank, peer.host, peer.pid = hello["rank"], hello["host"], hello["pid"]
                        peer.send({"host": socket.gethostname(), "pid": os.getpid()})
                        self._peers.append(peer)
                        continue
                peer.connection.close()
        if len(self._peers) < self.world - 1:
            print("warning: not all processes can be watched: if one dies, others may wait for it", flush=True)

    def find(self, seconds: float) -> Lost | None:
        """The process that was lost, for which it waits so long; None if all live as far as is known."""
        self._found.wait(seconds)
        return self.lost

    def close(self, failed: str = "") -> None:
        """End watching, and tell the others that this process leaves. failed: why, if it does so before its time."""
        self._closed.set()
        for peer in list(self._peers):
            peer.send({"failed": failed} if failed else {"left": True})
        self._thread.join(PATIENCE)
        for peer in self._peers:
            peer.connection.close()

    # --- the thread -------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        with selectors.DefaultSelector() as ready:
            for peer in self._peers:
                ready.register(peer.connection, selectors.EVENT_READ, peer)
            beaten = time.monotonic()
            while not self._closed.is_set() and self.lost is None:
                for key, _ in ready.select(TICK):
                    if not self._hear(key.data):
                        ready.unregister(key.fileobj)
                        self._peers = [peer for peer in self._peers if peer is not key.data]
                if not self._peers:
                    self._closed.wait(TICK)
                now = time.monotonic()
                if now - beaten > BEAT:
                    beaten = now
                    for peer in self._peers:
                        peer.send({})
                        if now - peer.heard > SILENCE and not peer.left:
                            self._lose(peer, f"gave no sign of life for {SILENCE:.0f} seconds")
        if self.lost is not None:
            self._end()

    def _hear(self, peer: Peer) -> bool:
        """Read what a process says. Returns False if its connection is closed."""
        messages = peer.received()
        if messages is None:
            if not peer.left:
                self._lose(peer, WITHOUT_A_WORD)
            return False
        for message in messages:
            peer.left = peer.left or "left" in message
            peer.host, peer.pid = message.get("host", peer.host), message.get("pid", peer.pid)
            if "failed" in message:
                self._lose(peer, f"{FAILED}{message['failed']}")
            if "lost" in message:
                self._know(Lost(**message["lost"]))
        return True

    def _lose(self, peer: Peer, why: str) -> None:
        self._know(Lost(peer.rank, peer.host, peer.pid, why))

    def _know(self, lost: Lost) -> None:
        """Keep who was lost first. The main process passes it on."""
        if self.lost is None:
            self.lost = lost
            for peer in self._peers if self.rank == 0 else ():
                peer.send({"lost": vars(lost)})
            self._found.set()

    def _end(self) -> None:
        """Say who was lost, and end this process if it waits for it where nothing tells it."""
        lost = self.lost
        if lost is not None and lost.why[: len(FAILED)] != FAILED:  # who fails prints its error itself
            # At once: torchrun ends the processes of a machine as soon as it finds that one of them has died.
            print(f"{lost}; process {self.rank} ends, too", file=sys.stderr, flush=True)
        if self._closed.wait(SAID):
            return
        print(f"process {self.rank} waits for {lost} and will be ended", file=sys.stderr, flush=True)
        if not self._closed.wait(ENDED):
            os._exit(1)
