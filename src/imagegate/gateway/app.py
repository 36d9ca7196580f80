"""The gateway's application: its routes, and which of them is served by what."""

from msgspec import Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from imagegate import clock
from imagegate.assets import links
from imagegate.errors import ImageError, NotFoundError, PermissionDeniedError
from imagegate.gateway import (
    assets,
    calls,
    diagnose,
    errors,
    guardrails,
    health,
    home,
    later,
    metrics,
    models,
    openapi,
    preview,
    responses,
    webhooks,
)
from imagegate.gateway.admin import (
    audit,
    budgets,
    charges,
    end_users,
    held,
    keys,
    spend,
    teams,
)
from imagegate.gateway.admin import calls as admin_calls
from imagegate.gateway.admin.audited import Handler, audited
from imagegate.gateway.auth import Gatekeeper
from imagegate.gateway.images import ImageEndpoint
from imagegate.gateway.traffic import Traffic
from imagegate.ledger.keyring import KeyRing
from imagegate.ledger.people import Role
from imagegate.ledger.registry import Registry
from imagegate.runtime.assemble import Runtime
from imagegate.runtime.reload import Reloader
from imagegate.runtime.snapshot import Snapshot
from imagegate.types import Operation

ANY_ROLE: frozenset[Role] = frozenset(("caller", "team_admin", "admin"))
ADMIN: frozenset[Role] = frozenset(("admin",))
TEAM_ADMIN: frozenset[Role] = frozenset(("team_admin", "admin"))


class Resource(Struct, frozen=True):
    """A route. Only an `is_open` one is served to callers without a key, the others by role."""

    path: str
    handler: Handler
    is_open: bool = False
    method: str = "GET"
    roles: frozenset[Role] = ANY_ROLE


OPERATIONS: dict[str, Operation] = {
    "/images/generations": "generate",
    "/images/edits": "edit",
    "/images/variations": "variation",
    "/responses": "responses",
}
# The model stands in the body: OpenAI's base URL, the same without /v1, and Azure's two.
PREFIXES = ("/v1", "", "/openai/v1", "/openai")
# The model stands in the path, as Azure's clients have it.
DEPLOYMENT_PREFIXES = ("/openai/deployments/", "/openai/v1/deployments/")
DEPLOYMENT_OPERATIONS = ("/images/generations", "/images/edits")

ROUTES: tuple[Resource, ...] = (
    Resource("/v1/models", models.list_models),
    Resource("/v1/models/{id:path}", models.get_model),
    Resource("/models", models.list_models),
    Resource("/models/{id:path}", models.get_model),
    Resource("/openai/v1/models", models.list_models),
    Resource("/v1/images/preview", preview.preview, method="POST"),
    Resource("/v1/images/calls", calls.list_calls, roles=ADMIN),
    Resource("/v1/images/calls/{id}", calls.get_call),
    Resource("/v1/images/calls/{id}/images/{index}", calls.get_image),
    Resource("/v1/images/calls/{id}/events", later.get_events),
    Resource("/v1/images/calls/{id}/cancel", later.cancel_call, method="POST"),
    Resource("/v1/images/webhooks/secret", webhooks.get_secret),
    *(
        Resource(f"{prefix}/responses/{{id}}", responses.refuse_get)
        for prefix in ("/v1", "", "/openai/v1")
    ),
    Resource("/v1/diagnose", diagnose.diagnose, method="POST"),
    Resource(
        "/admin/guardrails/{name}/test", guardrails.test_guardrail, method="POST", roles=ADMIN
    ),
    Resource("/metrics", metrics.metrics, roles=ADMIN),
    Resource("/admin/teams", teams.list_teams, roles=TEAM_ADMIN),
    Resource("/admin/teams", teams.add_team, method="POST", roles=ADMIN),
    Resource("/admin/teams/{id}", teams.get_team, roles=TEAM_ADMIN),
    Resource("/admin/teams/{id}", teams.change_team, method="PATCH", roles=ADMIN),
    Resource("/admin/keys", keys.list_keys, roles=TEAM_ADMIN),
    Resource("/admin/keys", keys.add_key, method="POST", roles=TEAM_ADMIN),
    Resource("/admin/keys/{id}", keys.get_key, roles=TEAM_ADMIN),
    Resource("/admin/keys/{id}", keys.change_key, method="PATCH", roles=TEAM_ADMIN),
    Resource("/admin/keys/{id}/rotate", keys.rotate_key, method="POST", roles=TEAM_ADMIN),
    Resource("/admin/keys/{id}/revoke", keys.revoke_key, method="POST", roles=TEAM_ADMIN),
    Resource("/admin/end_users", end_users.list_end_users, roles=ADMIN),
    Resource("/admin/end_users", end_users.put_end_user, method="PUT", roles=ADMIN),
    Resource("/admin/end_users/{id:path}", end_users.get_end_user, roles=ADMIN),
    Resource("/admin/budgets", budgets.list_budgets, roles=TEAM_ADMIN),
    Resource("/admin/budgets", budgets.add_budget, method="POST", roles=ADMIN),
    Resource("/admin/budgets/{id}", budgets.get_budget, roles=TEAM_ADMIN),
    Resource("/admin/budgets/{id}", budgets.change_budget, method="PATCH", roles=ADMIN),
    Resource("/admin/budgets/{id}", budgets.remove_budget, method="DELETE", roles=ADMIN),
    Resource("/admin/audit", audit.list_audit, roles=ADMIN),
    Resource("/admin/held", held.list_held, roles=ADMIN),
    Resource("/admin/held/{id}", held.get_held, roles=ADMIN),
    Resource("/admin/held/{id}", held.drop_held, method="DELETE", roles=ADMIN),
    Resource("/admin/held/{id}/release", held.release_held, method="POST", roles=ADMIN),
    Resource("/admin/calls", admin_calls.list_calls),
    Resource("/admin/calls/{id}", admin_calls.get_call),
    Resource("/admin/charges", charges.list_charges, roles=ADMIN),
    Resource("/admin/charges/{id}/settle", charges.settle_charge, method="POST", roles=ADMIN),
    Resource("/admin/spend", spend.list_spend),
    # Whoever has the signed url may have the image.
    Resource(f"{links.PATH}{{name}}", assets.get_asset, is_open=True),
    Resource("/openapi.json", openapi.document, is_open=True),
    Resource("/healthz", health.healthz, is_open=True),
    Resource("/readyz", health.readyz, is_open=True),
    Resource("/", home.home, is_open=True),
)

_BY_PATH = {prefix + tail: name for prefix in PREFIXES for tail, name in OPERATIONS.items()}
_SERVED = (
    "POST /v1/images/generations, /v1/images/edits, /v1/images/variations, /v1/responses, "
    "/openai/deployments/{name}/images/generations, /openai/deployments/{name}/images/edits; "
    "/v1/images/preview, /v1/diagnose; "
    "/admin/{teams,keys,end_users,budgets,calls,charges,spend,held,audit,guardrails}; "
    "GET /v1/images/calls, /v1/images/calls/{id}, /v1/images/calls/{id}/images/{index}, "
    "/v1/images/calls/{id}/events, /v1/images/webhooks/secret; "
    "POST /v1/images/calls/{id}/cancel; GET "
    "/v1/images/assets/{id}.{ext}, /v1/models, /openapi.json, /healthz, /readyz, /metrics"
)


class Gateway:
    """What the routes share: the runtime, the front of its snapshot, and the calls in flight."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.keys = KeyRing(Registry(runtime.ledger), clock.monotonic_s)
        self.traffic = Traffic(runtime.supervisor)
        self.reloader: Reloader | None = None
        self._front = self._made_front()

    @property
    def front(self) -> "Front":
        """What serves a request that comes now."""
        if self._front.snapshot is not self.runtime.snapshot:
            self._front = self._made_front()
        return self._front

    @property
    def unready_reason(self) -> str:
        """Why a balancer should send calls elsewhere, `""` where it should not."""
        if self.traffic.stage != "serving":
            return self.traffic.stage
        if not self.runtime.ledger.is_available:
            return "ledger_unavailable"
        return "disk_low" if self.runtime.spool.room.is_low else ""

    def _made_front(self) -> "Front":
        snapshot = self.runtime.snapshot
        gatekeeper = Gatekeeper(snapshot.settings.server, self.keys)
        images = ImageEndpoint(snapshot, gatekeeper, self.traffic, self.runtime.courier)
        return Front(snapshot, gatekeeper, images)


class Front(Struct, frozen=True, eq=False):
    """What the gateway makes of one snapshot: who is let in, and the image routes."""

    snapshot: Snapshot
    gatekeeper: Gatekeeper
    images: ImageEndpoint


def build_app(gateway: Gateway) -> ASGIApp:
    """Return the ASGI application: image routes by hand, Starlette for the rest."""
    other = build_other_routes(gateway)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            operation, model = find_operation(scope["path"])
            if operation is not None:
                await gateway.front.images.serve(scope, send, operation, model)
                return
        await other(scope, receive, send)

    return app


def find_operation(path: str) -> tuple[Operation | None, str]:
    """Return the operation of an image route and the model that its path names (`""`: none).

    The path is decoded already, so a model's name may hold slashes.
    """
    operation = _BY_PATH.get(path) or _BY_PATH.get(path.rstrip("/"))
    if operation is not None:
        return operation, ""
    for prefix in DEPLOYMENT_PREFIXES:
        for tail in DEPLOYMENT_OPERATIONS:
            name = path[len(prefix) : -len(tail)]
            if name and path.startswith(prefix) and path.endswith(tail):
                return OPERATIONS[tail], name
    return None, ""


def build_other_routes(gateway: Gateway) -> Starlette:
    """Return Starlette's application for everything that is not an image call."""
    routes = [
        Route(resource.path, _guarded(resource, gateway), methods=[resource.method])
        for resource in ROUTES
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            ImageError: errors.answer_error,
            HTTPException: _answer_no_route,
            Exception: errors.answer_bug,
        },
    )
    app.router.redirect_slashes = False
    app.state.gateway = gateway
    return app


def _guarded(resource: Resource, gateway: Gateway) -> Handler:
    """Return the handler behind the gatekeeper: a new route is closed unless it says otherwise."""

    async def handle(request: Request) -> Response:
        front = gateway.front
        front.snapshot.users.enter()
        try:
            headers = dict(request.headers.raw)
            account = await front.gatekeeper.identify(request.scope, headers)
            request.state.account = account
            if account.role not in resource.roles:
                raise PermissionDeniedError(
                    f"A key of the role {account.role!r} may not {request.method} {resource.path}."
                )
            return await resource.handler(request)
        finally:
            front.snapshot.users.leave()

    if resource.is_open:
        return resource.handler
    if resource.path.startswith("/admin/"):
        return audited(resource.method, resource.path, handle)
    return handle


async def _answer_no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.scope["path"]
    is_image_route = find_operation(path)[0] is not None
    if error.status_code == 405 or (error.status_code == 404 and is_image_route):
        allowed = "POST" if is_image_route else _methods_of(path)
        return _answer_wrong_method(request, path, allowed)
    if error.status_code == 404:
        return errors.error_response(
            NotFoundError(
                f"There is no {request.method} {path} here. Served are: {_SERVED}.",
                code="unknown_url",
            ),
            request,
        )
    return await errors.answer_http(request, error)


def _methods_of(path: str) -> str:
    found = {each.method for each in ROUTES if compile_path(each.path)[0].match(path)}
    return ", ".join(sorted(found))


def _answer_wrong_method(request: Request, path: str, allowed: str) -> Response:
    error = ImageError(
        f"{path} takes {allowed}, not {request.method}.", code="method_not_allowed", http_status=405
    )
    response = errors.error_response(error, request)
    response.headers["allow"] = allowed
    return response
