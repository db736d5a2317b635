"""Local clusters, whose schedulers commands reach by their addresses."""

from collections.abc import Iterator
from contextlib import contextmanager

from rm_geo.distributed.cluster import open_cluster


@contextmanager
def reachable_cluster(workers: int) -> Iterator:
    """Start local workers; Dask's configuration names their certificates meanwhile.

    Parameters
    ----------
    workers : int
        Number of processes.

    Yields
    ------
    distributed.Client
    """
    import dask

    with open_cluster(workers=workers, device="cpu") as client:
        security = client.security
        certificates = {
            "distributed.comm.tls.ca-file": security.tls_ca_file,
            "distributed.comm.tls.client.cert": security.tls_client_cert,
            "distributed.comm.tls.client.key": security.tls_client_key,
        }
        with dask.config.set(certificates):
            yield client
