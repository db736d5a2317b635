"""Connections between the processes of a cluster are protected, or there is a warning."""

from contextlib import contextmanager

import pytest

from rm_geo.distributed import cluster
from rm_geo.distributed.cluster import open_cluster
from rm_geo.errors import ClusterError
from rm_geo.progress import SilentProgress
from tests.support.clusters import reachable_cluster

dask = pytest.importorskip("dask")
pytest.importorskip("distributed")


class Lines(SilentProgress):
    """Keeps the lines of the log."""

    def __init__(self):
        self.lines = []

    def log(self, message):
        self.lines.append(message)


def test_local_workers_need_the_certificate_of_their_run_and_tls_addresses_work():
    with reachable_cluster(workers=1) as client:
        address = client.scheduler_info()["address"]
        assert address.startswith("tls://127.0.0.1:")
        assert all(worker.startswith("tls://127.0.0.1:") for worker in client.nthreads())
        with (
            pytest.raises(ClusterError, match="does not answer"),
            open_cluster(address.replace("tls://", "tcp://")),
        ):
            pass
        with open_cluster(address) as second:
            assert second.submit(sum, [1, 2]).result() == 3


@pytest.mark.parametrize(
    ("scheduler", "is_warned"),
    [
        ("tcp://10.0.0.5:8786", True),
        ("scheduler.example.org:8786", True),
        ("tcp://[fe80::1]:8786", True),
        ("tls://10.0.0.5:8786", False),
        ("tcp://127.0.0.1:8786", False),
        ("tcp://[::1]:8786", False),
        ("localhost:8786", False),
    ],
)
def test_a_plain_connection_to_another_machine_gives_a_warning(monkeypatch, scheduler, is_warned):
    @contextmanager
    def connected(_distributed, address):
        yield address

    monkeypatch.setattr(cluster, "_connected", connected)
    log = Lines()
    with open_cluster(scheduler, progress=log) as client:
        assert client == scheduler
    assert [scheduler in line and "not protected" in line for line in log.lines] == [
        True
    ] * is_warned
