"""The Serve deployments that host the app: one for requests, and the same app again for push.

Push is apart because streams live for hours: its replicas are fixed in number and streams are no load to scale on.
"""

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.app import build_app
from serve_app.deps import AppDeps


class Api:
    """One replica of the app, with dependencies made in its own process."""

    def __init__(self, make_deps: Callable[[str], AppDeps]) -> None:
        self._make_deps = make_deps

    def __serve_build_asgi_app__(self) -> ASGIApp:
        from ray import serve

        return AtRoot(build_app(self._make_deps(serve.get_replica_context().replica_tag)))


class AtRoot:
    """Serve mounts an app under its route prefix; ours knows its full paths, so the mount is taken off again."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "root_path": ""} if "root_path" in scope else scope, receive, send)
