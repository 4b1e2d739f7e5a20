"""The objects of the Gateway API's conformance tests for meshes, written out in short.

Where GATEWAY_API_CONFORMANCE names a folder with the standard's own files (conformance/tests/mesh), those are applied
instead: what is asserted is the same."""

import os

import yaml

MESH, CONSUMER = "gateway-conformance-mesh", "gateway-conformance-mesh-consumer"


def service(name, version=None, grpc_protocol=None):
    ports = [{"name": "http", "port": 80, "appProtocol": "http", "targetPort": 8080},
             {"name": "http-alt", "port": 8080, "appProtocol": "http"}, {"name": "https", "port": 443, "targetPort": 8443},
             {"name": "tcp", "port": 9090}, {"name": "grpc", "port": 7070}]
    if grpc_protocol:
        ports[-1]["appProtocol"] = grpc_protocol
    selector = {"app": "echo", "version": version} if version else {"app": "echo"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": MESH},
            "spec": {"selector": selector, "ports": ports}}


def route(name, *rules, parent="echo", port=80, kind="HTTPRoute", namespace=MESH, hostnames=None):
    reference = {"group": "", "kind": "Service", "name": parent}
    if port:
        reference["port"] = port
    if namespace != MESH:
        reference["namespace"] = MESH
    spec = {"parentRefs": [reference], "rules": list(rules)}
    if hostnames:
        spec["hostnames"] = hostnames
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind,
            "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def to(name, port=8080, **more):
    return {"name": name, "port": port, **more}


def prefix(value, **more):
    return {"path": {"type": "PathPrefix", "value": value}, **more}


def where(kind, *pairs):
    return {kind: [{"name": name, "value": value} for name, value in pairs]}


def rule(*matches, filters=(), backends=(), **more):
    made = dict(more)
    for name, value in (("matches", matches), ("filters", filters), ("backendRefs", backends)):
        if value:
            made[name] = list(value)
    return made


def redirect(**what):
    return {"type": "RequestRedirect", "requestRedirect": what}


def headers(kind="Request", set=(), add=(), remove=()):
    what = {name: [{"name": key, "value": value} for key, value in pairs]
            for name, pairs in (("set", set), ("add", add)) if pairs}
    if remove:
        what["remove"] = list(remove)
    field = kind[0].lower() + kind[1:] + "HeaderModifier"
    return {"type": f"{kind}HeaderModifier", field: what}


def replaced(kind, value):
    return {"type": kind, kind[0].lower() + kind[1:]: value}


def rewrite(kind, value):
    return {"type": "URLRewrite", "urlRewrite": {"path": replaced(kind, value)}}


EDITS = {
    "/set": headers(set=[("X-Header-Set", "set-overwrites-values")]),
    "/add": headers(add=[("X-Header-Add", "add-appends-values")]),
    "/remove": headers(remove=["X-Header-Remove"]),
    "/multiple": headers(
        set=[("X-Header-Set-1", "header-set-1"), ("X-Header-Set-2", "header-set-2")],
        add=[("X-Header-Add-1", "header-add-1"), ("X-Header-Add-2", "header-add-2"), ("X-Header-Add-3", "header-add-3")],
        remove=["X-Header-Remove-1", "X-Header-Remove-2"]),
    "/case-insensitivity": headers(
        set=[("X-Header-Set", "header-set")], add=[("X-Header-Add", "header-add")], remove=["X-Header-Remove"]),
}
REWRITE_EDITS = headers(
    set=[("X-Header-Set", "set-overwrites-values")],
    add=[("X-Header-Add", "header-val-1"), ("X-Header-Add-Append", "header-val-2")], remove=["X-Header-Remove"])
CALL_EDITS = {
    "set": (headers(set=[("x-header-set", "set-overwrites-values")]), "echo-v1"),
    "add": (headers(add=[("x-header-add", "add-appends-values")]), "echo-v1"),
    "remove": (headers(remove=["x-header-remove"]), "echo-v1"),
    "multi": (headers(
        set=[("x-header-set-1", "header-set-1"), ("x-header-set-2", "header-set-2")],
        add=[("x-header-add-1", "header-add-1"), ("x-header-add-2", "header-add-2")],
        remove=["x-header-remove-1", "x-header-remove-2"]), "echo-v2"),
}


def path_redirects():
    original = replaced("ReplacePrefixMatch", "/replacement-prefix")
    full = replaced("ReplaceFullPath", "/replacement-full")
    return [
        ("/original-prefix", {"path": original}), ("/full", {"path": replaced("ReplaceFullPath", "/full-path-replacement")}),
        ("/path-and-host", {"hostname": "example.org", "path": original}),
        ("/path-and-status", {"path": original, "statusCode": 301}),
        ("/full-path-and-host", {"hostname": "example.org", "path": full}),
        ("/full-path-and-status", {"path": full, "statusCode": 301})]


def redirects(pairs):
    return [rule(prefix(path), filters=[redirect(**what)]) for path, what in pairs]


def marked(value):
    return [headers("Response", set=[("X-Header-Set", value)])]


OBJECTS = {
    "manifests": [service("echo-v1", "v1"), service("echo-v2", "v2"), service("echo", None, "kubernetes.io/h2c")],
    "mesh-split": [route(
        "mesh-split", *[rule({"path": {"type": "Exact", "value": f"/v{n}"}}, backends=[to(f"echo-v{n}", 80)])
                        for n in (1, 2)], port=None)],
    "mesh-ports": [
        route("mesh-split-v1", rule(filters=marked("v1"), backends=[to("echo-v1", 80)]), parent="echo-v1"),
        route("mesh-split-v2", rule(filters=marked("v2"), backends=[to("echo-v2", 80)]), parent="echo-v2", port=None)],
    "mesh-frontend": [
        route("mesh-split-v1", rule(filters=marked("set"), backends=[to("echo-v2", 80)]), parent="echo-v2", port=None)],
    "mesh-consumer-route": [route(
        "mesh-echo-add-header", rule(filters=marked("set"), backends=[to("echo-v1", 80, namespace=MESH)]),
        parent="echo-v1", port=None, namespace=CONSUMER)],
    "httproute-simple-same-namespace": [route("gateway-conformance-mesh-test", rule(backends=[to("echo-v1")]))],
    "httproute-weight": [route(
        "mesh-weighted-backends", rule(backends=[to("echo-v1", weight=70), to("echo-v2", weight=30)]))],
    "httproute-matching": [route("mesh-matching", *[
        rule(prefix(path), where("headers", ("version", version)), backends=[to(backend)])
        for path, version, backend in (("/", "one", "echo-v1"), ("/v2", "two", "echo-v2"))])],
    "httproute-named-rule": [route(
        "mesh-http-named-rules", rule(prefix("/named"), backends=[to("echo-v1")], name="named-rule"),
        rule(prefix("/unnamed"), backends=[to("echo-v2")]))],
    "httproute-query-param-matching": [route(
        "mesh-query-param-matching",
        rule(where("queryParams", ("animal", "whale")), backends=[to("echo-v1")]),
        rule(where("queryParams", ("animal", "dolphin")), backends=[to("echo-v2")]),
        rule(prefix("/path1", **where("queryParams", ("animal", "whale"))), backends=[to("echo-v1")]),
        rule({**where("headers", ("version", "one")), **where("queryParams", ("animal", "whale"))},
             backends=[to("echo-v2")]),
        rule(prefix("/path3", **where("queryParams", ("animal", "shark"))),
             prefix("/path4", **where("headers", ("version", "three")), **where("queryParams", ("animal", "kraken"))),
             backends=[to("echo-v1")]),
        rule(prefix("/path5"), backends=[to("echo-v1")]),
        rule(where("queryParams", ("animal", "hydra")), backends=[to("echo-v2")]))],
    "httproute-request-header-modifier": [route("mesh-request-header-modifier", *[
        rule(prefix(path), filters=[edit], backends=[to("echo-v1")]) for path, edit in EDITS.items()])],
    "httproute-request-header-modifier-backend": [route("mesh-request-header-modifier", *[
        rule(prefix(path), backends=[to("echo-v1", filters=[edit])]) for path, edit in EDITS.items()])],
    "httproute-rewrite-path": [route("mesh-rewrite-path", *[
        rule(prefix(path), filters=filters, backends=[to("echo-v1", 80)]) for path, filters in (
            ("/prefix/one", [rewrite("ReplacePrefixMatch", "/one")]),
            ("/strip-prefix", [rewrite("ReplacePrefixMatch", "/")]),
            ("/full/one", [rewrite("ReplaceFullPath", "/one")]),
            ("/full/rewrite-path-and-modify-headers", [rewrite("ReplaceFullPath", "/test"), REWRITE_EDITS]),
            ("/prefix/rewrite-path-and-modify-headers", [rewrite("ReplacePrefixMatch", "/prefix"), REWRITE_EDITS]))])],
    "httproute-303-redirect": [route("mesh-303-redirect", *redirects([("/redirect", {"statusCode": 303})]))],
    "httproute-307-redirect": [route("mesh-307-redirect", *redirects([("/temporary", {"statusCode": 307})]))],
    "httproute-308-redirect": [route("mesh-308-redirect", *redirects([("/permanent", {"statusCode": 308})]))],
    "httproute-redirect-host-and-status": [route("mesh-redirect-host-and-status", *redirects([
        ("/hostname-redirect", {"hostname": "example.org"}),
        ("/host-and-status", {"statusCode": 301, "hostname": "example.org"})]))],
    "httproute-redirect-path": [route("mesh-redirect-path", *redirects(path_redirects()))],
    "httproute-redirect-port": [route("mesh-redirect-port", *redirects([
        ("/port", {"port": 8083}), ("/port-and-host", {"hostname": "example.org", "port": 8083}),
        ("/port-and-status", {"port": 8083, "statusCode": 301}),
        ("/port-and-host-and-status", {"port": 8083, "hostname": "example.org", "statusCode": 302})]))],
    "httproute-redirect-scheme": [route("mesh-redirect-scheme", *redirects([
        ("/scheme", {"scheme": "https"}), ("/scheme-and-host", {"hostname": "example.org", "scheme": "https"}),
        ("/scheme-and-status", {"scheme": "https", "statusCode": 301}),
        ("/scheme-and-host-and-status", {"scheme": "https", "statusCode": 302, "hostname": "example.org"})]))],
    "grpcroute-request-header-modifier": [route("grpc-request-header-modifier", *[
        rule(where("headers", ("x-test-case", case)), filters=[edit], backends=[to(backend, 7070)])
        for case, (edit, backend) in CALL_EDITS.items()], port=7070, kind="GRPCRoute")],
    "grpcroute-weight": [route(
        "mesh-grpc-weighted-backends",
        rule(backends=[to("echo-v1", 7070, weight=70), to("echo-v2", 7070, weight=30), to("echo-v3", 7070, weight=0)]),
        port=7070, kind="GRPCRoute")],
}


def objects(name):
    """The objects of one file of the conformance tests; of the manifests the services."""
    folder = os.environ.get("GATEWAY_API_CONFORMANCE")
    if not folder:
        return OBJECTS[name]
    with open(os.path.join(folder, name + ".yaml")) as file:
        found = [document for document in yaml.safe_load_all(file) if document]
    return [document for document in found if document["kind"] not in ("Namespace", "Deployment")]
