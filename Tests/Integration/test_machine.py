"""What goes wrong on the machine: a folder that has lost something, a full disk, addresses and folders that cannot be."""

import os
import shutil
import signal
import subprocess
import time

import pytest
import yaml

from support import raw
from support.mesh import APUS, version_service
from support.processes import free_port


def up(mesh, *options, data=None, seconds=60):
    """`apus up` that is expected not to stay."""
    return mesh.cli("up", "--data", data or mesh.data, *(options or (
        "--api", f"127.0.0.1:{mesh.api_port}", "--xds", f"127.0.0.1:{mesh.xds_port}")), check=False, seconds=seconds)


@pytest.mark.parametrize("lost", ["apus.db", "ca"])
def test_a_folder_that_has_lost_something_is_refused_and_left_as_it_is(own_mesh, lost):
    mesh = own_mesh
    mesh.apply(version_service("kept", "v1"))
    mesh.control_plane.stop()
    path, aside = os.path.join(mesh.data, lost), os.path.join(mesh.folder, "aside")
    shutil.move(path, aside)
    refused = up(mesh)
    assert refused.returncode == 1 and f"{path} is gone" in refused.stderr and "hint: put" in refused.stderr, refused
    assert not os.path.exists(path), "nothing is made in its place"
    shutil.move(aside, path)
    mesh.start()
    assert "kept-v1" in mesh.cli("get", "services").stdout


def test_a_first_start_that_is_cut_short_is_no_loss(own_mesh, tmp_path):
    """Killed or interrupted at any moment of it, in silence; the next start goes on."""
    mesh = own_mesh
    for number, name in enumerate((signal.SIGKILL, signal.SIGINT, signal.SIGTERM) * 5):
        data = str(tmp_path / f"cut-{number}")
        command = [APUS, "up", "--data", data, "--api", f"127.0.0.1:{free_port()}", "--xds", f"127.0.0.1:{free_port()}"]
        for attempt in range(2):
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  env=mesh.environment) as program:
                if attempt == 0:
                    time.sleep(0.02 * number)
                    program.send_signal(name)
                    words = program.communicate(timeout=30)[1]
                    assert words == "" and program.returncode in (0, -name), (name, program.returncode, words)
                else:
                    assert program.stdout.readline().startswith("apus is ready"), program.stderr.read()
                    program.send_signal(signal.SIGINT)
                    program.communicate(timeout=30)
                    assert program.returncode == 0


def test_what_cannot_be_printed_is_a_failure(mesh):
    with open("/dev/full", "w") as full:
        result = subprocess.run([APUS, "get", "services", "-o", "json"], stdout=full, stderr=subprocess.PIPE, text=True,
                                env=mesh.environment, timeout=60, check=False)
    assert result.returncode == 1 and "No space left on device" in result.stderr, result
    # A reader who has seen enough ends it as it ends other programs.
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run([APUS, "get", "services", "-o", "json"], stdout=writer, stderr=subprocess.PIPE, text=True,
                            env=mesh.environment, timeout=60, check=False)
    os.close(writer)
    assert result.returncode in (0, -signal.SIGPIPE) and result.stderr == "", result


def test_check_says_that_nothing_can_be_stored(own_mesh):
    assert "ok   store: changes can be stored" in own_mesh.cli("check").stdout
    # A file may grow to nothing, as on a full disk.
    command = "trap '' XFSZ; ulimit -f 0; exec \"$0\" check"
    result = subprocess.run(["bash", "-c", command, APUS], capture_output=True, text=True, env=own_mesh.environment,
                            timeout=60, check=False)
    assert result.returncode == 1 and "FAIL store: changes cannot be stored" in result.stdout, result
    assert "1 failed" in result.stdout and "make room" in result.stdout
    assert not [name for name in os.listdir(own_mesh.data) if name.startswith(".check")]


def test_a_full_disk_keeps_no_control_plane_from_starting(own_mesh, tmp_path):
    """On a small file system of its own: what is there is served, what would be new is refused."""
    mesh, data = own_mesh, str(tmp_path / "small")
    os.mkdir(data)
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system is not permitted here (root is needed)")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k,mode=700", "tmpfs", data], check=True)
    command = [APUS, "up", "--data", data, "--api", f"127.0.0.1:{free_port()}", "--xds", f"127.0.0.1:{free_port()}"]
    environment = {**mesh.environment, "APUS_DATA": data, "APUS_API": command[5]}

    def say(*words, stdin=None):
        return subprocess.run([APUS, *words], input=stdin, capture_output=True, text=True, env=environment, timeout=60,
                              check=False)
    try:
        for start in ("with room", "on a full disk"):
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  env=environment) as program:
                try:
                    assert program.stdout.readline().startswith("apus is ready"), program.stderr.read()
                    if start == "with room":
                        applied = say("apply", "-f", "-", stdin=yaml.safe_dump(version_service("kept", "v1")))
                        assert applied.returncode == 0, applied
                        with open(os.path.join(data, "fill"), "wb", buffering=0) as fill, pytest.raises(OSError):
                            while True:
                                fill.write(b"x" * 4096)
                    else:
                        assert "No space left on device" in program.stderr.readline()
                    assert "kept-v1" in say("get", "services").stdout, start
                    refused = say("apply", "-f", "-", stdin=yaml.safe_dump(version_service("late", "v1")))
                    assert refused.returncode == 1 and "full" in refused.stderr, (start, refused)
                    assert "FAIL store: changes cannot be stored" in say("check").stdout, start
                finally:
                    program.kill()
    finally:
        subprocess.run(["umount", "-l", data], check=True)


def test_addresses_and_folders_that_cannot_be_are_told_in_sentences(own_mesh, tmp_path):
    mesh = own_mesh
    data = str(tmp_path / "open")
    result = up(mesh, "--api", f"0.0.0.0:{free_port()}", "--xds", f"127.0.0.1:{free_port()}", data=data)
    assert result.returncode == 1 and "can be reached from other machines" in result.stderr, result
    assert "notLoopback" not in result.stderr and "hint: name the address with --api" in result.stderr
    file = tmp_path / "file"
    file.write_text("")
    for path in (str(file), str(file / "below")):
        result = up(mesh, "--api", f"127.0.0.1:{free_port()}", "--xds", f"127.0.0.1:{free_port()}", data=path)
        assert result.returncode == 1 and f"{file} is a file" in result.stderr, result


def test_documents_are_read_as_editors_write_them(mesh, namespace):
    text = yaml.safe_dump(version_service("marked", "v1", namespace))
    assert "created" in mesh.cli("apply", "-f", "-", stdin="\ufeff" + text).stdout
    # Every letter of a name is shown as it was written.
    wrong = mesh.cli("apply", "-f", "-", stdin=yaml.safe_dump(version_service("Ünï_x", "v1", namespace),
                                                               allow_unicode=True), check=False)
    assert wrong.returncode == 3 and "Ünï_x-v1" in wrong.stderr and "??" not in wrong.stderr, wrong
    # One that steers terminals is not.
    wrong = mesh.cli("apply", "-f", "-", stdin=text.replace("marked-v1", '"a\\e[31mb"', 1), check=False)
    assert wrong.returncode == 3 and "\x1b" not in wrong.stderr, wrong
    # A syntax error is one mistake, not one and what could not be read.
    for broken in ("  apiVersion: v1\nkind: Service\n", "apiVersion: v1\nkind: Service\nmetadata:\n\tname: x\n"):
        wrong = mesh.cli("apply", "-f", "-", stdin=broken, check=False)
        assert wrong.returncode == 3 and "is not YAML" in wrong.stderr and "required" not in wrong.stderr.lower(), wrong
        assert len([line for line in wrong.stderr.splitlines() if line.strip()]) <= 3, wrong
    large = yaml.safe_dump({**version_service("large", "v1", namespace), "padding": "x" * (10 << 20)})
    wrong = mesh.cli("apply", "-f", "-", stdin=large, check=False)
    assert wrong.returncode != 0 and "make a single one smaller" in wrong.stderr, wrong
    assert raw.get(mesh.api_port, "/readyz", host="localhost").status == 200
