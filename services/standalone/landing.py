"""The page at `/`: what this is, how to write to it, how to query it."""

from __future__ import annotations

from html import escape
from string import Template
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

import rondel
from rondel.runtime.router import Route, route

__all__ = ["routes"]

_PAGE: Final = Template("""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Rondel</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 44rem; margin: 3rem auto; padding: 0 1rem; }
pre { background: #f4f4f4; padding: 0.8rem; overflow-x: auto; }
</style></head>
<body>
<h1>Rondel $version</h1>
<p>A Prometheus-compatible metrics store.</p>
<h2>Write</h2>
<pre># prometheus.yml
remote_write:
  - url: $base/api/v1/write</pre>
<h2>Query</h2>
<p>Grafana: a data source of type Prometheus with the URL <code>$base</code>. By hand:</p>
<pre>curl '$base/api/v1/query?query=up'</pre>
<p>Try: <a href="/api/v1/query?query=up">up</a>,
<a href="/api/v1/query?query=sum(rate(rondel_http_responses_total%5B5m%5D))">requests a second</a>,
<a href="/api/v1/label/__name__/values">metric names</a>.</p>
<h2>Look inside</h2>
<p><a href="/-/ready">ready</a> · <a href="/metrics">metrics</a> · <a href="/config">configuration</a> ·
<a href="/api/v1/status/tsdb">series</a> · <a href="/api/v1/status/tsdb/blocks">blocks</a></p>
</body></html>
""")


def routes() -> list[Route]:
    """`/`."""

    async def landing(request: Request) -> Response:
        base = escape(str(request.base_url).rstrip("/"))
        return HTMLResponse(_PAGE.substitute(version=rondel.__version__, base=base))

    return [route("/", landing, ["GET"])]
