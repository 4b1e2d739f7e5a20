"""Two hundred services for the dashboard, in the browser: what the API answers is replaced there."""

# With calls among them, in eight namespaces; `firstPicture` is when the first of them was drawn.
MANY = """
(() => {
  const space = (n) => `team-${n % 8}`, services = [...Array(200).keys()];
  const figures = (n) => ({ requests: 1000 + n, failures: n % 17 === 0 ? 90 : 0, retries: n % 5, successRate: n % 17 === 0 ? 0.91 : 1,
    rps: 30 + n, p50Ms: 2, p95Ms: 9, p99Ms: 20 + (n % 40), tcpConnections: 0, tcpOpened: 0, sentBytes: 0, receivedBytes: 0, reasons: {} });
  const stats = services.map((n) => ({ namespace: space(n), name: `service-${n}`, kind: "service", meshed: "2/2", ...figures(n) }));
  const calls = services.flatMap((n) => [2 * n + 1, 2 * n + 2, 3 * n + 7].filter((m) => m < 200).map((m) => ({
    sourceNamespace: space(n), sourceService: `service-${n}`, destinationNamespace: space(m), service: `service-${m}`, mutualTLS: m % 31 !== 0, ...figures(m) })));
  const real = window.fetch;
  window.fetch = (path, options) => {
    const items = path.includes("/stats?") ? stats : path.includes("/traffic?") ? calls : path.endsWith("/proxies") ? [] : null;
    if (!items) return real(path, options);
    for (const item of items) item.rps = 20 + 40 * Math.random();
    return Promise.resolve(new Response(JSON.stringify({ items }), { status: 200 }));
  };
  new MutationObserver(() => { if (!window.firstPicture && document.querySelectorAll(".node").length) window.firstPicture = performance.now(); })
    .observe(document, { childList: true, subtree: true });
})();
"""
