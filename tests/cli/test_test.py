"""``flask test`` and ``manage.py test``."""

from __future__ import annotations

from tests.support.projects import Project, write_manage
from tests.support.servers import Stock


def test_test_passes_the_status_of_pytest_and_leaves_nothing(
    project: Project, stock: Stock
) -> None:
    write_manage(project)
    (project.root / "conftest.py").unlink()
    (project.root / "test_elsewhere.py").write_text("def test_it():\n    assert False\n")
    environment = {"DATABASE_URL": stock.url("own"), "FLASK_APP": "manage.py"}
    before = stock.databases()

    passed = project.run("manage.py", "test", "-q", **environment)
    failed = project.run("-m", "flask", "test", "-q", FAIL="1", **environment)
    none = project.run("-m", "flask", "test", "-k", "nonsense", **environment)

    assert passed.counts() == {"passed": 2}, passed.text
    assert passed.status == 0
    assert failed.counts() == {"passed": 1, "failed": 1}, failed.text
    assert (failed.status, none.status) == (1, 5)
    assert stock.databases() == before
