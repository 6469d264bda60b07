"""The Serve deployments that host the app: one for requests, and the same app again for push.

Push is apart because streams live for hours: its replicas are fixed in number and streams are no load to scale on.
"""

from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from serve_app.app import build_app
from serve_app.deps import AppDeps


class Api:
    """One replica of the app, with dependencies made in its own process."""

    def __init__(self, make_deps: Callable[[str, str], AppDeps]) -> None:
        """Take what makes the dependencies, given the deployment's name and the replica's."""
        self._make_deps = make_deps
        self._problem: Callable[[], str | None] = lambda: None

    def __serve_build_asgi_app__(self) -> ASGIApp:
        from ray import serve

        here = serve.get_replica_context()
        app = build_app(self._make_deps(here.deployment, here.replica_tag))
        self._problem = app.state.api.problem
        return AtRoot(app)

    def check_health(self) -> None:
        """Serve asks every second, and replaces a replica that cannot go on; streams then resume at the new one."""
        if problem := self._problem():
            raise RuntimeError(problem)


class AtRoot:
    """Serve mounts an app under its route prefix; ours knows its full paths, so the mount is taken off again."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "root_path": ""} if "root_path" in scope else scope, receive, send)
