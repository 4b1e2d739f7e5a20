"""The files in `deploy/`: taken by Debian's Prometheus, scraping a mesh for real."""

import json
import os
import shutil
import subprocess
import urllib.parse

import pytest

from support import raw
from support.processes import TOP, Program, free_port

FOLDER = os.path.join(TOP, "deploy", "prometheus")


@pytest.fixture(name="files")
def fixture_files(mesh, tmp_path):
    """The files as an operator would set them up: the token's place, the API's address, a quicker interval."""
    for name in os.listdir(FOLDER):
        shutil.copy(os.path.join(FOLDER, name), tmp_path)
    config = tmp_path / "prometheus.yml"
    text = config.read_text().replace("127.0.0.1:15050", f"127.0.0.1:{mesh.api_port}").replace("15s", "1s")
    config.write_text(text.replace("credentials_file: api-token", f"credentials_file: {mesh.data}/api-token"))
    rules = tmp_path / "recording-rules.yml"
    rules.write_text(rules.read_text().replace("15s", "1s"))
    return tmp_path


def test_the_files_are_sound(files):
    assert "SUCCESS" in subprocess.run(["promtool", "check", "config", str(files / "prometheus.yml")], check=True,
                                       capture_output=True, text=True).stdout


def test_prometheus_finds_the_proxies_and_the_numbers_are_right(files, mesh, namespace):
    server = mesh.server(version="v1", namespace=namespace)
    client = mesh.client(namespace=namespace)
    mesh.wait_for(client, "http://server/")
    port = free_port()
    prometheus = Program(
        ["prometheus", f"--config.file={files}/prometheus.yml", f"--storage.tsdb.path={files}/data",
         f"--web.listen-address=127.0.0.1:{port}"], str(files / "prometheus.log"), dict(os.environ))
    try:
        def query(text):
            answer = raw.get(port, "/api/v1/query?query=" + urllib.parse.quote(text), host="localhost")
            assert answer.status == 200, answer
            return json.loads(answer.body)["data"]["result"]
        raw.eventually(lambda: len(query(f'up{{namespace="{namespace}"}} == 1')) == 2, 60, 0.5)
        # Flagger's and Istio's queries are of this kind.
        select = f'{{reporter="destination",destination_service_namespace="{namespace}",response_code="404"}}'
        for _ in range(12):
            client.get("http://server/status/404")
        raw.eventually(lambda: [float(row["value"][1]) for row in query(f"sum(istio_requests_total{select})")] == [12.0], 30, 0.5)
        raw.eventually(lambda: query(f'response_total{{namespace="{namespace}",status_code="404"}}'), 30, 0.5)
        assert float(query(f'min(apus_certificate_expiry_seconds{{namespace="{namespace}"}} - time())')[0]["value"][1]) > 0
        assert query(f'apus_loop_turn_seconds{{namespace="{namespace}"}}')
        assert query(f'apus_service_limit{{destination_service_namespace="{namespace}",kind="requests"}}')
    finally:
        prometheus.stop()
    assert server.program.is_running()
