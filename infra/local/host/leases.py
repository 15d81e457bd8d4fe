"""A singleton lock on a blob lease: one host at a time runs a timer."""

import contextlib
import logging
import threading
from dataclasses import dataclass

from azure.core.exceptions import AzureError, ResourceExistsError
from azure.storage.blob import BlobClient, BlobLeaseClient, BlobServiceClient

log = logging.getLogger("host.lease")

CONTAINER = "azure-webjobs-hosts"


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """Seconds: how long a lease lasts, how often it is renewed, how often a waiting host tries to take over."""

    length_s: int = 60
    renew_s: float = 30
    takeover_s: float = 60


def host_blob(service: BlobServiceClient, path: str) -> BlobClient:
    """A blob in the host's container, which is created when absent."""
    with contextlib.suppress(ResourceExistsError):
        service.create_container(CONTAINER)
    return service.get_blob_client(CONTAINER, path)


class Singleton:
    """A lease held and renewed in the background; `lost` is set as soon as it can no longer be trusted."""

    def __init__(self, blob: BlobClient, timing: LeaseTiming) -> None:
        self._blob, self._timing = blob, timing
        self._lease: BlobLeaseClient | None = None
        self._released = threading.Event()
        self.lost = threading.Event()

    def acquire(self, stop: threading.Event) -> bool:
        """True once the lease is ours, False when stopped first; another holder is waited for."""
        while not stop.is_set():
            if self._try():
                return True
            stop.wait(self._timing.takeover_s)
        return False

    def release(self) -> None:
        """Give the lease back at once, so that the next host need not wait for it to expire."""
        self._released.set()
        if self._lease is not None:
            with contextlib.suppress(AzureError):
                self._lease.release()
            self._lease = None

    def _try(self) -> bool:
        with contextlib.suppress(ResourceExistsError):
            self._blob.upload_blob(b"", overwrite=False)
        try:
            self._lease = self._blob.acquire_lease(self._timing.length_s)
        except AzureError as error:
            log.debug("%s is held elsewhere or out of reach: %s", self._blob.blob_name, error)
            return False
        self._released, self.lost = threading.Event(), threading.Event()
        threading.Thread(target=self._renew, args=(self._lease,), daemon=True, name="lease").start()
        return True

    def _renew(self, lease: BlobLeaseClient) -> None:
        released, lost = self._released, self.lost
        while not released.wait(self._timing.renew_s):
            try:
                lease.renew()
            except AzureError as error:
                if not released.is_set():
                    log.warning("lease on %s lost: %s", self._blob.blob_name, error)
                    lost.set()
                return
