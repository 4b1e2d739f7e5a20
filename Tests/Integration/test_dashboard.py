"""The dashboard in a real browser: every page, both themes, the keyboard, and what peers send shown as text."""

import json

import pytest

from support import raw
from support.browser import Browser
from support.many import MANY
from support.mesh import backend, route
from support.scripted import Scripted, read_head

SPACE = "pages"

# Contrast of every text that is shown, by WCAG 2: 4.5, or 3 for large text.
CONTRAST = """
(() => {
  const channel = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length > 3 ? n : [...n, 1]; };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour[3] > 0) return colour;
    }
    return [255, 255, 255, 1];
  };
  const faults = [];
  for (const element of document.querySelectorAll("body *:not(svg *):not(script)")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !element.checkVisibility() || element.disabled) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(parse(style.color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (isLarge ? 3 : 4.5)) faults.push(`${element.tagName} ${element.className} ${ratio.toFixed(2)} ${element.textContent.slice(0, 30)}`);
  }
  return faults;
})()
"""

# What can be pressed or typed into has a name.
NAMES = """
[...document.querySelectorAll("button, input, select, a, [role=button]")].filter((e) => e.checkVisibility()
  && !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length || e.title)).map((e) => e.outerHTML)
"""


@pytest.fixture(name="page", scope="module")
def fixture_page(shared_mesh, tmp_path_factory):
    mesh = shared_mesh
    server = mesh.server(version="v1", namespace=SPACE)
    client = mesh.client(namespace=SPACE)
    mesh.wait_for(client, "http://server/")
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield mesh, client, browser
    browser.close()
    for workload in (client, server):
        mesh.stop_workload(workload)


def show(mesh, browser, place, *options):
    url = mesh.cli("dashboard", *options).stdout.strip()
    assert url.startswith(f"http://127.0.0.1:{mesh.api_port}/dashboard/#token=")
    browser.problems.clear()
    browser.open("about:blank")
    browser.open(url)

    def shown():
        state = browser.run("({hash: location.hash.slice(0, 7), ready: document.readyState, "
                            "heading: document.querySelector('h1')?.textContent ?? null})")
        assert state["heading"] is not None and state["hash"] == "#/mesh", (state, browser.problems)
        return True
    raw.eventually(shown)
    browser.run(f"location.hash = {json.dumps(place)}; 1")


def has_text(browser, text):
    return raw.eventually(lambda: text in browser.run("document.querySelector('main').innerText"), 20)


PAGES = {"#/mesh": "Mesh", "#/services": "Services", f"#/service/{SPACE}/server": "Endpoints",
         "#/requests": "Requests", "#/tap": "Tap", "#/rollouts": "Rollouts", "#/configuration": "Configuration",
         "#/health": "Health"}
# What is on a page once it has its data.
FILLED = {"#/mesh": "Mutual TLS", "#/tap": "shown", "#/rollouts": "judged by"}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("place", PAGES)
def test_every_page_works_without_an_error_and_can_be_read(page, place, theme):
    mesh, client, browser = page
    client.get("http://server/")
    browser.theme(theme)
    show(mesh, browser, place)
    has_text(browser, PAGES[place])
    has_text(browser, FILLED.get(place, "server"))
    raw.eventually(lambda: "live," in browser.run("document.getElementById('live').textContent"), 20)
    assert browser.run(CONTRAST) == []
    assert browser.run(NAMES) == []
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    browser.picture(f"{place.strip('#/').replace('/', '-')}-{theme}")
    assert browser.problems == []


def test_the_graph_shows_who_calls_whom_and_that_it_is_encrypted(page):
    mesh, client, browser = page
    show(mesh, browser, "#/mesh")

    def drawn():
        client.get("http://server/")
        return browser.run("[...document.querySelectorAll('.edge title')].some((t) => "
                           "t.textContent.startsWith('pages/client → pages/server') && t.textContent.includes('mutual TLS'))")
    raw.eventually(drawn, 30, 0.5)
    # By keyboard alone: search, then Enter on what has the focus.
    browser.run("document.querySelector('.node[aria-label^=\"pages/server\"]').focus(); "
                "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true})); 1")
    assert "server" in browser.run("document.querySelector('aside.side h1').textContent")
    assert browser.problems == []


def test_what_peers_send_is_shown_as_text(page):
    mesh, client, browser = page
    evil = "http://server/<img/src=x/onerror=alert(1)><script>alert(2)</script>"
    assert client.get(evil, fields=[("x-request-id", "<b>evil</b>")]).status == 200
    show(mesh, browser, "#/requests")
    raw.eventually(lambda: "onerror" in browser.run("document.querySelector('main').innerText"), 20)
    browser.run("[...document.querySelectorAll('tr.pick')].find((r) => r.innerText.includes('onerror')).click(); 1")
    raw.eventually(lambda: "onerror" in browser.run("document.querySelector('.why')?.innerText ?? ''"), 20)
    assert browser.run("document.querySelectorAll('main img, main script, main b').length") == 0
    assert browser.problems == []


def test_a_request_that_failed_ends_in_why(page):
    mesh, client, browser = page
    mesh.apply(route("server", {"backendRefs": [backend("nowhere")]}, namespace=SPACE), namespace=SPACE)
    mesh.wait_for(client, "http://server/", status=500)
    client.get("http://server/lost", fields=[("x-request-id", "seen-lost")])
    show(mesh, browser, "#/requests/id=seen-lost")
    has_text(browser, "GET /lost from client to server was refused with 500")
    has_text(browser, "HTTPRoute pages/server")
    assert browser.problems == []
    mesh.cli("delete", "httproute", "server", "-n", SPACE)


def test_requests_appear_in_the_tap_as_they_end_and_lead_to_why(page):
    mesh, client, browser = page
    show(mesh, browser, f"#/tap/to={SPACE}%2Fserver")
    has_text(browser, "0 shown")

    def seen():
        client.get("http://server/tapped?key=told-nobody", fields=[("x-request-id", "seen-tapped")])
        return "/tapped" in browser.run("document.querySelector('main').innerText")
    raw.eventually(seen, 20, 0.5)
    assert "told-nobody" not in browser.run("document.body.innerText")
    browser.run("[...document.querySelectorAll('tr.pick')].find((r) => r.innerText.includes('/tapped')).focus(); "
                "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true})); 1")
    raw.eventually(lambda: "GET /tapped from client to server succeeded"
                   in browser.run("document.querySelector('.why')?.innerText ?? ''"), 20)
    # Held, nothing more comes.
    browser.run("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Hold').click(); 1")
    has_text(browser, ", held")
    assert browser.problems == []


def test_heads_are_shown_in_the_tap_where_they_are_wanted(page):
    mesh, client, browser = page
    show(mesh, browser, f"#/tap/to={SPACE}%2Fserver")
    has_text(browser, "0 shown")
    browser.run("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Heads').click(); 1")
    tries = iter(range(10_000))

    def told():
        path = f"/headed-{next(tries)}"
        client.get(f"http://server{path}", fields=[("x-shown", "<b>plain</b>"), ("authorization", "Bearer hidden-one"),
                                                   ("x-operator-says", "hidden-two")])
        browser.run("[...document.querySelectorAll('tr.pick')].find((r) => r.innerText.includes('/headed-'))?.click(); 1")
        return browser.run("document.querySelector('.heads')?.innerText ?? ''")
    text = raw.eventually(told, 60, 0.5)
    assert "x-shown" in text and "<b>plain</b>" in text and "Answer, as it came" in text and "x-server" in text, text
    assert "authorization" in text and "hidden-" not in browser.run("document.body.innerText")
    assert browser.run(CONTRAST) == [] and browser.run(NAMES) == []
    browser.picture("tap-heads")
    assert browser.problems == []


def test_releases_are_shown_as_they_are_judged_and_stopped_by_a_button(page):
    mesh, client, browser = page
    versions = [mesh.service("shop", version, SPACE, {}) for version in ("v1", "v2")]
    rollout = {"apiVersion": "apus.dev/v1", "kind": "Rollout", "metadata": {"name": "shop", "namespace": SPACE},
               "spec": {"service": "shop", "version": "v1", "canary": {"steps": [{"weight": 50, "pause": "300s"}]},
                        "analysis": {"interval": "1s", "minSamples": 5, "successRate": {"maxDrop": 5}}}}
    mesh.apply(rollout)
    mesh.wait_for(client, "http://shop/")

    def phase():
        return mesh.api("GET", f"/apis/apus.dev/v1/namespaces/{SPACE}/rollouts/shop")[1].get("status", {}).get("phase")
    raw.eventually(lambda: phase() == "Idle", 20)
    rollout["spec"]["version"] = "v2"
    mesh.apply(rollout)
    with client.load("http://shop/", rate=30):
        raw.eventually(lambda: phase() == "Progressing", 20)
        # A session that only reads is told so.
        show(mesh, browser, f"#/rollouts/{SPACE}/shop")
        has_text(browser, "Versions side by side")
        has_text(browser, "only reads")
        assert offered(browser) == []
        assert phase() == "Progressing" and browser.problems == []
        show(mesh, browser, f"#/rollouts/{SPACE}/shop", "--allow-writes")
        raw.eventually(lambda: browser.run("document.querySelectorAll('.chart path.line').length") >= 3, 30, 0.5)
        raw.eventually(lambda: "success-rate" in browser.run("document.querySelector('main').innerText"), 30, 0.5)
        assert browser.run(CONTRAST) == [] and browser.run(NAMES) == []
        browser.picture("rollouts")
        # The curve is the control plane's: a page that is opened later has all of it.
        def kept():
            return mesh.api("GET", f"/apis/apus.dev/v1/namespaces/{SPACE}/rollouts/shop")[1]["status"]["curve"]
        raw.eventually(lambda: len(kept()["points"]) >= 5, 60, 0.5)
        begun = kept()["points"][0]
        show(mesh, browser, f"#/rollouts/{SPACE}/shop", "--allow-writes")
        raw.eventually(lambda: browser.run("document.querySelector('.chart path.share')?.getAttribute('d').split('L').length ?? 0") >= 6,
                       60, 0.5)
        # What makes no sense while it goes on is not offered.
        raw.eventually(lambda: offered(browser) == ["Promote", "Pause", "Abort"], 30, 0.5)
        assert kept()["points"][0] == begun and begun["weight"] in (0, 50) and kept()["checks"] == ["success-rate"], kept()
        press(browser, "Pause")
        raw.eventually(lambda: phase() == "Paused", 20)
        press(browser, "Resume")
        raw.eventually(lambda: phase() == "Progressing", 20)
        press(browser, "Abort")
        raw.eventually(lambda: phase() == "RolledBack", 20)
    has_text(browser, "RolledBack")
    browser.run("location.hash = '#/configuration'; 1")
    has_text(browser, "! AbortedByPerson")
    assert browser.problems == []
    mesh.cli("delete", "rollout", "shop", "-n", SPACE)
    mesh.cli("delete", "httproute", "shop", "-n", SPACE)
    for version in versions:
        mesh.stop_workload(version)


def offered(browser):
    return browser.run("[...document.querySelectorAll('.rollout button')].filter((b) => !b.disabled).map((b) => b.textContent)")


def press(browser, label):
    raw.eventually(lambda: label in offered(browser), 30, 0.2)
    browser.run(f"[...document.querySelectorAll('.rollout button')].find((b) => b.textContent === '{label}').click(); 1")


def test_what_objects_hold_is_shown_as_text(page):
    mesh, _, browser = page
    evil = route("server", {"matches": [{"headers": [{"name": "x-a", "value": "<img src=x onerror=alert(5)>"}]}],
                            "backendRefs": [backend("server")]}, name="hostile", namespace=SPACE)
    evil["metadata"]["annotations"] = {"note": "<script>alert(6)</script><b>bold</b>"}
    mesh.apply(evil)
    show(mesh, browser, "#/configuration")
    raw.eventually(lambda: browser.run(
        "[...document.querySelectorAll('tr.pick')].some((r) => r.innerText.includes('hostile') && (r.click(), true))"), 20, 0.5)
    has_text(browser, "<script>alert(6)</script>")
    has_text(browser, "onerror=alert(5)")
    assert browser.run("document.querySelectorAll('main img, main script, main b').length") == 0
    assert browser.problems == []
    mesh.cli("delete", "httproute", "hostile", "-n", SPACE)
    # Names that are shown everywhere cannot be markup in the first place.
    assert mesh.cli("run", "--service", "named", "--version", "<b>v1", "--", "true", check=False).returncode == 2


def test_no_other_site_reads_or_writes(page):
    """A page of another origin, in the same browser as an open dashboard that may write."""
    mesh, _, browser = page
    attack = """<script>
      const api = "http://127.0.0.1:%d/apis/apus.dev/v1/namespaces/%s/trafficpolicies";
      const body = JSON.stringify({apiVersion: "apus.dev/v1", kind: "TrafficPolicy", metadata: {name: "planted"},
        spec: {targetRefs: [{group: "", kind: "Service", name: "server"}]}});
      window.told = [];
      for (const mode of ["cors", "no-cors"]) for (const type of ["application/json", "text/plain"])
        fetch(api, {method: "POST", mode, body, credentials: "include", headers: {"content-type": type}})
          .then((r) => told.push(r.type + r.status), (e) => told.push("failed"));
      fetch(api, {credentials: "include"}).then(() => told.push("read"), () => told.push("failed"));
    </script>""" % (mesh.api_port, SPACE)

    def serve(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
                           % (len(attack), attack.encode()))
    show(mesh, browser, "#/mesh", "--allow-writes")
    site = Scripted(serve)
    browser.open(f"http://127.0.0.1:{site.port}/")
    told = raw.eventually(lambda: (found := browser.run("window.told ?? []")) and len(found) == 5 and found, 20)
    assert "read" not in told and set(told) <= {"failed", "opaque0"}, told
    site.close()
    assert mesh.cli("get", "trafficpolicy", "planted", "-n", SPACE, check=False).returncode == 4
    answer = raw.get(mesh.api_port, "/apis/apus.dev/v1/stats", [("Origin", "http://elsewhere.test")], host="localhost")
    assert answer.status == 401 and answer.header("access-control-allow-origin") is None


def test_two_hundred_services_can_be_read(page):
    """Grouped at first; every service on demand; found by search; its neighbours alone in the light."""
    mesh, _, browser = page
    number = browser.call("Page.addScriptToEvaluateOnNewDocument", source=MANY)["identifier"]
    try:
        show(mesh, browser, "#/mesh")
        raw.eventually(lambda: browser.run("document.querySelectorAll('.node').length") == 8, 20)
        browser.picture("two-hundred-grouped")
        browser.run("[...document.querySelectorAll('button')].find((b) => b.textContent === 'Group by namespace').click(); 1")
        raw.eventually(lambda: browser.run("document.querySelectorAll('.node').length") == 200, 20)
        browser.picture("two-hundred")
        browser.run("(() => { const s = document.querySelector('input[type=search]'); s.value = 'service-42'; "
                    "s.dispatchEvent(new Event('input')); })()")
        raw.eventually(lambda: browser.run("document.querySelectorAll('.node:not(.dim)').length") == 1, 20)
        browser.run("(() => { const s = document.querySelector('input[type=search]'); s.value = ''; "
                    "s.dispatchEvent(new Event('input')); document.querySelector('.node[aria-label^=\"team-2/service-42:\"]').focus(); "
                    "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true})); })()")
        light = raw.eventually(lambda: browser.run("document.querySelectorAll('.node:not(.dim)').length"), 20)
        assert 3 <= light <= 8
        browser.picture("two-hundred-focus")
        assert browser.run(CONTRAST) == [] and browser.run(NAMES) == []
        assert browser.problems == []
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=number)


def test_sessions_read_and_write_only_where_that_was_asked_for(page):
    mesh, _, _ = page
    api = mesh.api_port

    def ask(method, path, token):
        return raw.get(api, path, [("Authorization", f"Bearer {token}"), ("Content-Length", "0")], host="localhost",
                       method=method).status
    reading = json.loads(mesh.cli("dashboard", "-o", "json").stdout)["url"].rsplit("=", 1)[1]
    writing = json.loads(mesh.cli("dashboard", "--allow-writes", "-o", "json").stdout)["url"].rsplit("=", 1)[1]
    assert ask("GET", "/apis/apus.dev/v1/stats", reading) == 200
    assert ask("DELETE", "/api/v1/namespaces/pages/services/nobody", reading) == 403
    assert ask("DELETE", "/api/v1/namespaces/pages/services/nobody", writing) == 404
    # No session opens another, or gets a token to join with.
    for token in (reading, writing):
        assert ask("POST", "/apis/apus.dev/v1/sessions", token) == 403
        assert ask("POST", "/apis/apus.dev/v1/namespaces/pages/serviceaccounts/x/token", token) == 403
    assert ask("GET", "/apis/apus.dev/v1/stats", "0" * 32) == 401
    answer = raw.get(api, "/dashboard/", host="localhost")
    policy = answer.header("content-security-policy")
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert raw.get(api, "/dashboard/../api-token", host="localhost").status in (400, 401, 404)
    assert raw.get(api, "/dashboard/nothing.js", host="localhost").status == 404
