"""The page of the API description: Swagger UI from a pinned package, no content of other hosts, no inline script."""

from importlib.util import find_spec
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from actors.domain.errors import SetupError
from serve_app.files import file_response
from serve_app.problem import Problem, brief

ASSETS = frozenset({"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"})
_START = "start.js"
_SCRIPT = """\
window.addEventListener("load", () => SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#description",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  validatorUrl: null,
}));
"""
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Touchline API</title>
  <link rel="icon" href="/docs/favicon-32x32.png" type="image/png">
  <link rel="stylesheet" href="/docs/swagger-ui.css">
  <script src="/docs/swagger-ui-bundle.js" defer></script>
  <script src="/docs/start.js" defer></script>
</head>
<body>
  <div id="description"></div>
  <noscript>This page needs JavaScript; the description is at <a href="/openapi.json">/openapi.json</a>.</noscript>
</body>
</html>
"""


def assets_folder() -> Path:
    """Return where the package keeps its files, without importing it; raises SetupError."""
    found = find_spec("swagger_ui")
    if found is None or found.origin is None:
        raise SetupError("the package swagger-ui-py is missing: install requirements.txt")
    return Path(found.origin).parent / "static"


async def page(request: Request) -> Response:
    """Answer `GET /docs`."""
    return HTMLResponse(_PAGE, headers={"Cache-Control": "no-cache"})


async def asset(request: Request) -> Response:
    """Answer `GET /docs/{name}`: only the files that the page needs."""
    name = request.path_params["name"]
    if name == _START:
        return Response(_SCRIPT, media_type="text/javascript", headers={"Cache-Control": "no-cache"})
    if name not in ASSETS:
        raise Problem(404, f"no such file {brief(name)!r}")
    return file_response(assets_folder() / name, request.scope)
