"""A mail server that keeps what it gets: SMTP on 127.0.0.1 with TLS, sign-in and refusals; delivers nothing."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Self

LINE_LIMIT = 64 * 1024
_PATH = re.compile(r"(?:FROM|TO):\s*<([^<>]*)>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Received:
    """A message that was taken: its envelope, who had signed in, whether over TLS, and its bytes."""

    sender: str
    recipients: tuple[str, ...]
    user: str
    encrypted: bool
    data: bytes = field(repr=False)

    @property
    def message(self) -> EmailMessage:
        """The bytes, parsed."""
        return message_from_bytes(self.data, policy=default)


@dataclass(slots=True)
class Refusals:
    """What the server refuses from now on, each as a reply such as `452 4.2.2 mailbox full`.

    `commands` by verb (`CONNECT` for the greeting), `recipients` by address; `drop` ends the connection at that verb,
    without a word. `drop_after_data` takes the message, says so, and is gone before the goodbye.
    """

    commands: dict[str, str] = field(default_factory=dict)
    recipients: dict[str, str] = field(default_factory=dict)
    drop: str = ""
    drop_after_data: bool = False


class MailSink:
    """The server as an object; use it as a context manager, or call `start` and `close`.

    `users`: passwords by name; with any, nobody sends without signing in. `context`: a certificate for STARTTLS, or
    with `implicit_tls` for the whole session. As real servers do, it offers no sign-in before TLS where it has TLS.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        users: Mapping[str, str] | None = None,
        context: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
    ) -> None:
        self.users, self.context, self.implicit_tls = dict(users or {}), context, implicit_tls
        self.received: list[Received] = []
        self.refusals = Refusals()
        self.sessions = 0
        self._port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    def start(self) -> Self:
        """Serve from a background thread; answers itself."""
        ready, failure = threading.Event(), list[BaseException]()
        self._thread = threading.Thread(target=self._run, args=(ready, failure), daemon=True)
        self._thread.start()
        ready.wait()
        if failure:
            raise failure[0]
        return self

    def close(self) -> None:
        """Stop; what was received stays."""
        if self._loop is not None and self._thread is not None:
            with suppress(RuntimeError):  # the loop ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._loop = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *failure: object) -> None:
        self.close()

    def _run(self, ready: threading.Event, failure: list[BaseException]) -> None:
        try:
            asyncio.run(self._serve(ready))
        except BaseException as error:
            failure.append(error)
            ready.set()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        context = self.context if self.implicit_tls else None
        server = await asyncio.start_server(
            self._session, "127.0.0.1", self._port, limit=LINE_LIMIT, ssl=context
        )
        self._port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sessions += 1
        session = _Session(self, reader, writer)
        with suppress(
            ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError, ValueError
        ):
            await session.converse()
        with suppress(ConnectionError, ssl.SSLError):
            writer.close()


class _Session:
    """One connection's conversation."""

    def __init__(self, sink: MailSink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sink, self.reader, self.writer = sink, reader, writer
        self.encrypted, self.user, self.greeted = sink.implicit_tls, "", False
        self.sender: str | None = None
        self.recipients: list[str] = []

    async def converse(self) -> None:
        if not await self._greet():
            return
        while line := (await self.reader.readline()).decode("utf-8", "replace"):
            verb, _, rest = line.strip().partition(" ")
            verb = verb.upper()
            if verb == self.sink.refusals.drop:
                return
            refusal = self.sink.refusals.commands.get(verb)
            if refusal:
                await self.say(refusal)
            elif verb == "QUIT":
                await self.say("221 2.0.0 bye")
                return
            elif not await self._obey(verb, rest.strip()):
                return

    async def say(self, *lines: str) -> None:
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self.writer.drain()

    async def _greet(self) -> bool:
        if self.sink.refusals.drop == "CONNECT":
            return False
        refusal = self.sink.refusals.commands.get("CONNECT")
        await self.say(refusal or "220 sink.local ESMTP")
        return refusal is None

    async def _obey(self, verb: str, rest: str) -> bool:
        """Carry out one command; False where the connection ends."""
        match verb:
            case "EHLO" | "HELO":
                await self._hello(verb)
            case "STARTTLS":
                await self._start_tls()
            case "AUTH":
                await self._sign_in(rest)
            case "MAIL":
                await self._mail(rest)
            case "RCPT":
                await self._recipient(rest)
            case "DATA":
                return await self._data()
            case "RSET" | "NOOP":
                self.sender, self.recipients = None, []
                await self.say("250 2.0.0 ok")
            case _:
                await self.say("500 5.5.2 no such command")
        return True

    async def _hello(self, verb: str) -> None:
        self.greeted = True
        offers = ["sink.local", "SIZE 1048576", "8BITMIME"]
        offers += ["STARTTLS"] if self.sink.context and not self.encrypted else []
        offers += ["AUTH PLAIN LOGIN"] if self.sink.users and self._may_sign_in() else []
        if verb == "HELO":
            await self.say("250 sink.local")
        else:
            await self.say(*(f"250-{offer}" for offer in offers[:-1]), f"250 {offers[-1]}")

    def _may_sign_in(self) -> bool:
        return self.encrypted or self.sink.context is None

    async def _start_tls(self) -> None:
        if self.sink.context is None or self.encrypted:
            await self.say("502 5.5.1 TLS is not available")
            return
        await self.say("220 2.0.0 go ahead")
        await self.writer.start_tls(self.sink.context)
        # What was said before is forgotten, as it may have been somebody else's words.
        self.encrypted, self.greeted, self.user, self.sender, self.recipients = True, False, "", None, []

    async def _sign_in(self, rest: str) -> None:
        if not self._may_sign_in():
            await self.say("538 5.7.11 encryption required for the requested mechanism")
            return
        name, password = await self._credentials(rest)
        if name and self.sink.users.get(name) == password:
            self.user = name
            await self.say("235 2.7.0 accepted")
        else:
            await self.say("535 5.7.8 authentication credentials invalid")

    async def _credentials(self, rest: str) -> tuple[str, str]:
        mechanism, _, first = rest.partition(" ")
        try:
            if mechanism.upper() == "PLAIN":
                _, name, password = (_decoded(first or await self._ask(""))).split("\0")
                return name, password
            if mechanism.upper() == "LOGIN":
                name = _decoded(first or await self._ask("VXNlcm5hbWU6"))
                return name, _decoded(await self._ask("UGFzc3dvcmQ6"))
        except (binascii.Error, ValueError):
            pass
        return "", ""

    async def _ask(self, prompt: str) -> str:
        await self.say(f"334 {prompt}")
        return (await self.reader.readline()).decode().strip()

    async def _mail(self, rest: str) -> None:
        matched = _PATH.match(rest)
        if not self.greeted or matched is None:
            await self.say("503 5.5.1 say EHLO first" if matched else "501 5.1.7 bad sender address")
        elif self.sink.users and not self.user:
            await self.say("530 5.7.0 authentication required")
        else:
            self.sender, self.recipients = matched[1], []
            await self.say("250 2.1.0 ok")

    async def _recipient(self, rest: str) -> None:
        matched = _PATH.match(rest)
        if self.sender is None or matched is None:
            await self.say("503 5.5.1 need MAIL first" if matched else "501 5.1.3 bad recipient address")
        elif refusal := self.sink.refusals.recipients.get(matched[1]):
            await self.say(refusal)
        else:
            self.recipients.append(matched[1])
            await self.say("250 2.1.5 ok")

    async def _data(self) -> bool:
        if self.sender is None or not self.recipients:
            await self.say("554 5.5.1 no valid recipients")
            return True
        await self.say("354 end with a dot on a line of its own")
        lines = []
        while (line := await self.reader.readline()) != b".\r\n":
            if not line:
                return False
            lines.append(line[1:] if line.startswith(b".") else line)
        if self.sink.refusals.drop == "DATA-END":
            return False
        refusal = self.sink.refusals.commands.get("DATA-END")
        if refusal is None:
            taken = Received(self.sender, tuple(self.recipients), self.user, self.encrypted, b"".join(lines))
            self.sink.received.append(taken)
        await self.say(refusal or "250 2.0.0 queued")
        self.sender, self.recipients = None, []
        return not self.sink.refusals.drop_after_data


def _decoded(text: str) -> str:
    return base64.b64decode(text, validate=True).decode()
