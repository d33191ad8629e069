"""The summary of a run, as it travels from a worker of pytest-xdist to its controller."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from flask_testbed.pytest_plugin.report import Summary


def session(**config: Any) -> Any:
    return SimpleNamespace(config=SimpleNamespace(**config), exitstatus=pytest.ExitCode.OK)


def test_a_worker_sends_its_summary_to_the_controller() -> None:
    worker = session(workeroutput={})
    sent = Summary(["postgresql:///kept"], ["cannot drop x"], ["book: 1 row"])
    received = Summary(kept=["postgresql:///mine"])

    sent.finish(worker)
    received.receive(SimpleNamespace(workeroutput=worker.config.workeroutput))

    assert worker.exitstatus == pytest.ExitCode.OK
    assert received.kept == ["postgresql:///mine", "postgresql:///kept"]
    assert (received.undropped, received.leaks) == (sent.undropped, sent.leaks)


@pytest.mark.parametrize("node", [SimpleNamespace(), SimpleNamespace(workeroutput={})])
def test_a_worker_that_crashed_has_sent_nothing(node: Any) -> None:
    summary = Summary()
    summary.receive(node)
    assert summary == Summary()


@pytest.mark.parametrize(
    ("leaks", "status"),
    [([], pytest.ExitCode.OK), (["book: 1 row"], pytest.ExitCode.TESTS_FAILED)],
)
def test_leaks_fail_a_run_that_has_passed(leaks: list[str], status: pytest.ExitCode) -> None:
    run = session()
    Summary(leaks=leaks).finish(run)
    assert run.exitstatus == status
