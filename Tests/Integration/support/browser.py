"""Chromium without a window, driven over its DevTools protocol: just enough of a WebSocket (RFC 6455) for that."""

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import time
import urllib.request


class Browser:
    """One page. `problems` gathers what went wrong in it: exceptions, errors of the console, what the policy refused."""

    def __init__(self, folder, width=1280, height=800, arguments=()):
        self.folder = str(folder)
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        assert program, "chromium is not installed: Scripts/setup-peers tests"
        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
             "--disable-dev-shm-usage", "--remote-debugging-port=0", f"--user-data-dir={self.folder}/profile",
             f"--window-size={width},{height}", *arguments, "about:blank"],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        self.problems, self.number = [], 0
        port = self._port()
        self.stream = self._connect(port)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def _port(self):
        for line in self.process.stderr:
            if "DevTools listening on" in line:
                return int(line.rsplit(":", 1)[1].split("/")[0])
        raise RuntimeError("chromium ended before it listened")

    def _connect(self, port):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        end = time.monotonic() + 30
        while time.monotonic() < end:
            pages = [p for p in json.load(opener.open(f"http://127.0.0.1:{port}/json")) if p["type"] == "page"]
            if pages:
                break
            time.sleep(0.1)
        path = "/" + pages[0]["webSocketDebuggerUrl"].split("/", 3)[3]
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode())
        stream = self.socket.makefile("rb")
        while stream.readline().strip():
            pass
        return stream

    def _receive(self):
        _, second = self.stream.read(2)
        length = second & 127
        if length == 126:
            length = struct.unpack(">H", self.stream.read(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self.stream.read(8))[0]
        return json.loads(self.stream.read(length))

    def call(self, method, **parameters):
        self.number += 1
        payload = json.dumps({"id": self.number, "method": method, "params": parameters}).encode()
        mask = os.urandom(4)
        length = len(payload)
        head = bytes([0x81]) + (bytes([0x80 | length]) if length < 126 else
                                bytes([0xFE]) + struct.pack(">H", length) if length < 65536 else
                                bytes([0xFF]) + struct.pack(">Q", length))
        self.socket.sendall(head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)))
        while True:
            message = self._receive()
            if message.get("id") == self.number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _note(self, event):
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(parameters["exceptionDetails"])[:600])
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.problems.append(f"{parameters['entry']['text']} {parameters['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
            self.problems.append(str([argument.get("value") for argument in parameters["args"]]))
        elif method == "Page.javascriptDialogOpening":
            self.problems.append(f"a dialog: {parameters['message']}")

    def open(self, url):
        result = self.call("Page.navigate", url=url)
        assert not result.get("errorText"), (url.split("#")[0], result)

    def run(self, script):
        """The value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def picture(self, name):
        """A PNG of what is shown, where pictures are asked for: APUS_PICTURES names a folder."""
        folder = os.environ.get("APUS_PICTURES")
        if folder:
            data = self.call("Page.captureScreenshot", format="png")["data"]
            with open(os.path.join(folder, f"{name}.png"), "wb") as file:
                file.write(base64.b64decode(data))

    def theme(self, name):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def close(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait(30)
        self.process.stderr.close()
