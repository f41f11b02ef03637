"""A real SLURM for the tests, started once a session; skipped with the reason where it is not installed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from held_runs import wait_for

from slurm.local_cluster.cluster import ClusterError, LocalCluster, is_slurm_variable
from slurm.local_cluster.cluster_files import find_programs


@pytest.fixture(scope="session")
def slurm_installed() -> None:
    """For tests that start clusters of their own. SEGSHIFT_REQUIRE_SLURM=1 makes a failure of the skip."""
    reason = ""
    try:
        find_programs()
    except ClusterError as error:
        reason = str(error)
    if reason and os.environ.get("SEGSHIFT_REQUIRE_SLURM") == "1":
        pytest.fail(f"SEGSHIFT_REQUIRE_SLURM is 1, and {reason}", pytrace=False)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def slurm_session(slurm_installed: None) -> Iterator[LocalCluster]:
    with LocalCluster() as cluster:
        yield cluster


@pytest.fixture
def slurm_cluster(slurm_session: LocalCluster) -> Iterator[LocalCluster]:
    """Two nodes of 8 CPUs and 2 GPUs with a sacct, and an empty queue. Leave its controller running."""
    yield slurm_session
    slurm_session.run("scancel", "--quiet", f"--user={os.getuid()}")  # of a test that failed
    wait_for(lambda: not slurm_session.run("squeue", "-h").stdout, "an empty queue")


@pytest.fixture
def slurm_environment(slurm_cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> LocalCluster:
    """The cluster, with this process's environment leading to it: for code that calls SLURM's commands itself."""
    for name in [name for name in os.environ if is_slurm_variable(name)]:
        monkeypatch.delenv(name)
    for name, value in slurm_cluster.environment.items():
        monkeypatch.setenv(name, value)
    return slurm_cluster
