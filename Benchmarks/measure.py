"""What the kernel says about a process: CPU time, memory; and the small programs that a measurement needs."""

import glob
import json
import os
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PROXY_CPU, LOAD_CPU = 0, 1


def cpu_ns(pids):
    """Nanoseconds on the CPU of all threads of the processes, from the scheduler's own accounts."""
    total = 0
    for pid in pids:
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            try:
                with open(path) as file:
                    total += int(file.read().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue
    return total


def memory_mb(pids):
    """Resident and proportional memory of the processes, in MB (10^6 bytes)."""
    rss = pss = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Rss:"):
                    rss += int(line.split()[1])
                elif line.startswith("Pss:"):
                    pss += int(line.split()[1])
    return {"rss": rss * 1024 / 1e6, "pss": pss * 1024 / 1e6}


def family(pid):
    """A process and its children (nginx has a master and a worker)."""
    found = [pid]
    for parent in found:
        for path in glob.glob(f"/proc/{parent}/task/*/children"):
            try:
                with open(path) as file:
                    found += [int(word) for word in file.read().split()]
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_port(port, process, seconds=10.0):
    """Waits until something listens, looking every millisecond; returns how long it took."""
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return time.monotonic() - begin
        if process.poll() is not None:
            raise RuntimeError(f"{process.args[3]} ended with status {process.returncode} before it listened:\n"
                               + last_lines(process.log))
        time.sleep(0.001)
    raise RuntimeError(f"{process.args[3]} does not listen on port {port}:\n" + last_lines(process.log))


def spawn(command, cpu, log, **options):
    """Starts a program on one CPU, its output in a file."""
    with open(log, "ab") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(cpu), *command], stdout=output, stderr=output, stdin=subprocess.DEVNULL, **options)
    process.log = log
    return process


def last_lines(path, count=15):
    with open(path, errors="replace") as file:
        return "".join(file.readlines()[-count:])


def stop(process):
    """Ends a program that `spawn` started, by force when it takes longer than three seconds."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Spinner:
    """Keeps the proxy's core awake with a thread of the idle class: it runs only when nothing else wants to.

    Without it, in a virtual machine, every wake-up from another core costs more than the work of a fast proxy.
    """

    def __enter__(self):
        code = ("import os\nos.sched_setaffinity(0, {%d})\n"
                "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\n"
                "while os.getppid() == %d:\n  for _ in range(1000000): pass\n" % (PROXY_CPU, os.getpid()))
        self.process = subprocess.Popen([sys.executable, "-c", code])
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def compile_c(name, folder, *options):
    """Compiles a program of this folder where that is not done; returns its path."""
    source, program = os.path.join(HERE, f"{name}.c"), os.path.join(folder, name)
    if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
        subprocess.run(["cc", "-O2", "-o", program, source, *options], check=True)
    return program


def build_load(folder, tls=True):
    """Compiles the load generator; returns its path."""
    return compile_c("load", folder, *(["-lssl", "-lcrypto"] if tls else ["-DNO_TLS"]))


def run_load(program, port, cpu=LOAD_CPU, watch=None, **options):
    """One run of the load generator; options are its flags, e.g. connections=64, seconds=3, path="/1k".

    `watch` is called when the warm-up ends and again when the run ends, with the connections still open.
    """
    command = ["taskset", "-c", str(cpu), program, "--port", str(port)]
    for name, value in options.items():
        if value is True:
            command.append(f"--{name}")
        elif value is not None and value is not False:
            command += [f"--{name}", str(value)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if options.get("warmup"):
            process.stdout.readline()
            if watch:
                watch()
        result = process.stdout.readline()
        if watch:
            watch()
        process.stdin.close()
    return json.loads(result)


class Backend:
    """Who answers, on the load's CPU, from memory: programs of ours, and nginx for large answers by HTTP/2."""

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.port, self.http2_port, self.large_http2_port = free_port(), free_port(), free_port()
        sizes = {"1k": 1024, "100k": 102400, "1m": 1 << 20}
        for name, size in sizes.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(b"x" * size)
        config, log = os.path.join(folder, "backend.conf"), os.path.join(folder, "log")
        with open(config, "w") as file:
            file.write(
                f"daemon off; worker_processes 1; pid {folder}/pid; worker_rlimit_nofile 8192;\n"
                "events { worker_connections 4096; }\n"
                f"http {{ access_log off; keepalive_requests 100000000; sendfile on; tcp_nopush on;\n"
                f"client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};\n"
                f"uwsgi_temp_path {folder}; scgi_temp_path {folder}; open_file_cache max=10;\n"
                f"server {{ listen 127.0.0.1:{self.large_http2_port} http2; root {folder}; }} }}\n")
        answers = [f"{name}={size}" for name, size in sizes.items()]
        self.processes = [
            spawn([compile_c("origin", folder), str(self.port), *answers], LOAD_CPU, log),
            spawn([compile_c("origin-h2", folder), str(self.http2_port)], LOAD_CPU, log),
            spawn(["nginx", "-e", f"{folder}/error.log", "-c", config], LOAD_CPU, log)]
        for port, process in zip((self.port, self.http2_port, self.large_http2_port), self.processes):
            wait_port(port, process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            stop(process)
