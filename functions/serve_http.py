"""HTTP to the management API: one route for all, so that queue functions never pay for its imports."""

import azure.functions as func

from shared.composition import services
from shared.telemetry import invoked_by, span

bp = func.Blueprint()


@bp.route(route="{*route}", methods=["GET", "POST", "PUT", "DELETE", "OPTIONS"])
async def serve_http(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Answer through the ASGI application; blocking endpoints run in its own threads."""
    app = services()
    with span("request", invoked_by(context)):
        return await func.AsgiMiddleware(app.http).handle_async(req, context)
