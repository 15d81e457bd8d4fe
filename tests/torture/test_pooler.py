"""T8: behind a transaction pooler no two transactions share a session, so nothing may rely on one."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.local.ports import free_ports, is_listening
from infra.local.postgres import PostgresServer
from tests.torture import oracle
from tests.torture.conftest import MakeWorld

POOLER = shutil.which("pgbouncer")
pytestmark = [
    pytest.mark.torture,
    pytest.mark.skipif(POOLER is None, reason="pgbouncer is not installed: apt-get install pgbouncer"),
]
CONFIG = """
[databases]
* = host=127.0.0.1 port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = 3
ignore_startup_parameters = extra_float_digits
"""


@contextmanager
def pooler(server: PostgresServer) -> Iterator[int]:
    """A running pooler's port; as root it runs under another account, since it refuses root."""
    port, folder = free_ports(1)[0], Path(tempfile.mkdtemp(prefix="tributary-pooler-"))
    (folder / "users.txt").write_text(f'"tributary" "{server.password}"\n')
    (folder / "pooler.ini").write_text(CONFIG.format(server_port=server.port, port=port, folder=folder))
    user = pwd.getpwnam("nobody") if os.getuid() == 0 else None
    if user is not None:
        for path in (folder, *folder.iterdir()):
            os.chown(path, user.pw_uid, user.pw_gid)
    assert POOLER is not None
    process = subprocess.Popen(
        [POOLER, str(folder / "pooler.ini")], stderr=subprocess.DEVNULL,
        user=None if user is None else user.pw_uid, group=None if user is None else user.pw_gid,
    )  # fmt: skip
    deadline = time.monotonic() + 20
    try:
        while not is_listening(port):
            assert process.poll() is None and time.monotonic() < deadline, "pgbouncer did not start"
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)


@pytest.mark.parametrize("strategy", ["full", "hash", "rowversion"])
def test_syncs_and_deaths_behind_a_transaction_pooler_hold_the_oracle(
    make_world: MakeWorld, postgres_server: PostgresServer, strategy: str
) -> None:
    with pooler(postgres_server) as port:
        world = make_world(strategy, POSTGRES_PORT=str(port))
        for round_, point in enumerate(("claim.after", "chunk.before_commit", "chunk.after_commit")):
            world.change(seed=round_)
            world.due()
            world.tick()
            message = world.take()
            assert world.start(world.action(message), f"{point}=kill@1").wait().killed
            world.let_go(message)
            world.settle()
        oracle.check(world)
