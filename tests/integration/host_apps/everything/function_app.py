"""One function of each kind; what they did is read from the queue named by %REPORTS%."""

import json
import os
import threading
import time

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
CONNECTION = "AzureWebJobsStorage"


@app.timer_trigger(arg_name="tick", schedule="%TICKS%")
@app.queue_output(arg_name="report", queue_name="%REPORTS%", connection=CONNECTION)
def on_time(tick: func.TimerRequest, report: func.Out[str], context: func.Context) -> None:
    """Say whether the tick was late, then fail when told to."""
    report.set(json.dumps({"past_due": tick.past_due, "name": context.function_name}))
    if os.environ.get("TICK_FAILS"):
        raise RuntimeError("told to fail")


@app.queue_trigger(arg_name="message", queue_name="%JOBS%", connection=CONNECTION)
@app.queue_output(arg_name="report", queue_name="%REPORTS%", connection=CONNECTION)
def on_message(message: func.QueueMessage, report: func.Out[str], context: func.Context) -> None:
    """Report what arrived; the body decides what happens next."""
    body = message.get_body().decode()
    times = [message.insertion_time, message.expiration_time, message.time_next_visible]
    seen = {
        "body": body,
        "count": message.dequeue_count,
        "id": message.id,
        "receipt": bool(message.pop_receipt),
        "times": [bool(moment) for moment in times],
        "traceparent": context.trace_context.trace_parent,
        "pid": os.getpid(),
    }
    report.set(json.dumps(seen))
    act(body, message.dequeue_count or 0)


def act(body: str, count: int) -> None:
    """Do what the body names."""
    if body == "fail" or (body == "fail once" and count == 1):
        raise RuntimeError("told to fail")
    if body == "die once" and count == 1:
        os._exit(9)
    if body.startswith("wait "):
        # Ends when the file appears: tests decide how long "long" is.
        while not os.path.exists(body.removeprefix("wait ")):
            time.sleep(0.02)


@app.queue_trigger(arg_name="message", queue_name="%JOBS%-poison", connection=CONNECTION)
@app.queue_output(arg_name="report", queue_name="%REPORTS%", connection=CONNECTION)
def on_poison(message: func.QueueMessage, report: func.Out[str]) -> None:
    """Report the dead message."""
    report.set(json.dumps({"poison": message.get_body().decode()}))


@app.route(route="things/{uid}", methods=["GET", "POST"])
def thing(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Echo what a plain function sees."""
    seen = {
        "method": req.method,
        "uid": req.route_params["uid"],
        "query": dict(req.params),
        "size": len(req.get_body()),
        "main_thread": threading.current_thread() is threading.main_thread(),
        "traceparent": context.trace_context.trace_parent,
    }
    return func.HttpResponse(json.dumps(seen), mimetype="application/json", headers={"x-answer": "42"})


@app.route(route="broken", methods=["GET"])
def broken(req: func.HttpRequest) -> func.HttpResponse:
    """Fail always."""
    raise RuntimeError("told to fail")


@app.route(route="locked", auth_level=func.AuthLevel.FUNCTION)
def locked(req: func.HttpRequest) -> func.HttpResponse:
    """Ask for a key."""
    return func.HttpResponse("open")


async def asgi(scope, receive, send):  # type: ignore[no-untyped-def]  # the smallest ASGI app there is
    """Echo path and query."""
    text = f"{scope['path']}?{scope['query_string'].decode()}".encode()
    await send({"type": "http.response.start", "status": 203, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": text})


middleware = func.AsgiMiddleware(asgi)  # type: ignore[no-untyped-call]  # the SDK leaves it untyped


@app.route(route="{*route}")
async def everything_else(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Hand the rest to an ASGI application."""
    answer: func.HttpResponse = await middleware.handle_async(req, context)
    return answer
