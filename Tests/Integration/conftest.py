"""Fixtures: meshes that tests share or own, and what happens when a test fails or skips."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from support import load  # noqa: E402
from support.mesh import APUS, Mesh  # noqa: E402
from support.static import Static  # noqa: E402


def pytest_configure(config):
    if not os.path.exists(APUS):
        pytest.exit("The programs are not built: run `make build` first.", returncode=3)


@pytest.fixture(scope="session")
def load_program(tmp_path_factory):
    return load.build(tmp_path_factory.mktemp("load"))


def run_mesh(folder, load_program, **options):
    mesh = Mesh(folder, load_program, **options)
    try:
        yield mesh.start()
    finally:
        problems = mesh.stop()
    assert not problems, problems


@pytest.fixture(scope="session")
def shared_mesh(tmp_path_factory, load_program):
    """One mesh for every test that harms nobody; each test takes namespaces of its own."""
    yield from run_mesh(tmp_path_factory.mktemp("mesh"), load_program, options=["--redact-header", "X-Operator-Says"])


@pytest.fixture
def own_mesh(tmp_path, load_program):
    """A mesh whose control plane a test may kill."""
    yield from run_mesh(tmp_path, load_program)


@pytest.fixture
def mesh_of_short_certificates(tmp_path, load_program):
    """A mesh whose certificates live ten seconds."""
    yield from run_mesh(tmp_path, load_program, certificate_seconds=10)


@pytest.fixture
def static(tmp_path, load_program):
    """Proxies with configuration from files, and servers behind them."""
    world = Static(tmp_path, load_program)
    yield world
    world.stop()


@pytest.fixture
def namespace(request):
    """A namespace named after the test."""
    name = request.node.name.lower().split("[")[0].removeprefix("test_").replace("_", "-")
    return name[:50].strip("-")


@pytest.fixture
def mesh(shared_mesh):
    """The shared mesh; workloads that the test started end with it."""
    before = list(shared_mesh.workloads)
    yield shared_mesh
    started = [workload for workload in shared_mesh.workloads if workload not in before]
    for workload in reversed(started):
        shared_mesh.stop_workload(workload)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Adds the logs of the test's mesh to the report of a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for mesh in {id(v): v for v in item.funcargs.values() if isinstance(v, Mesh)}.values():
            for name, text in mesh.logs():
                if text.strip():
                    report.sections.append((name, text))


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.write_sep("!", f"{len(skipped)} tests were SKIPPED", red=True)
        for report in skipped:
            terminalreporter.write_line(f"{report.nodeid}: {report.longrepr[2]}")


def pytest_sessionfinish(session, exitstatus):
    """Where continuous integration runs, a skipped test is a failed one."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and exitstatus == 0 and reporter.stats.get("skipped"):
        session.exitstatus = 1
