"""Starts the emulator, for clients on this machine only, with three corrections of its Step Functions and one of its alarms.

The emulator limits an expression to one second of clock time, in which its other threads run too. With sixty concurrent
items of a batch, a run sometimes failed because of that limit. The reader of a Distributed Map lists the objects of a
bucket while other threads add objects, and sometimes failed the execution of a batch because of that. The emulator also
ignores the MaxConcurrencyPath of a Map. It refuses an alarm on an expression. traces.py adds what X-Ray does with trace
headers.
"""

import functools
import os

import jsonata
import loopback
import meter
import recorder
import traces
from ministack import app as ministack
from ministack.services import stepfunctions
from ministack.services.cloudformation import provisioners


def without_deadline(parse):
    @functools.wraps(parse)
    def patient(*args, timeout=None, **kwargs):
        return parse(*args, **kwargs)

    return patient


def again_if_changed(read):
    """Wraps `read`, which changes nothing. Repeats it if another thread changed a dictionary that it iterates over."""

    @functools.wraps(read)
    def steady(*args, **kwargs):
        for _ in range(100):
            try:
                return read(*args, **kwargs)
            except RuntimeError as error:
                if "changed size during iteration" not in str(error):
                    raise
        return read(*args, **kwargs)

    return steady


def at_most(run_items):
    """Wraps `run_items`, which runs the items of a Map. Evaluates the Map's MaxConcurrencyPath on the state's input."""

    @functools.wraps(run_items)
    def limited(state, given, execution, context):
        if "MaxConcurrencyPath" in state:
            effective = stepfunctions._apply_input_path(state, given, context)
            found = stepfunctions._resolve_path_or_ctx(state["MaxConcurrencyPath"], effective, context)
            state = state | {"MaxConcurrency": int(found)}
        return run_items(state, given, execution, context)

    return limited


def of_one_metric(record):
    """Wraps `record`, which describes an alarm of a template. Gives an alarm on an expression one metric of it instead.

    The emulator reads no metrics from logs, so the state of such an alarm does not change here in any case."""

    @functools.wraps(record)
    def described(name, properties):
        stats = [metric["MetricStat"] for metric in properties.get("Metrics", []) if "MetricStat" in metric]
        if stats:
            last = {**stats[-1]["Metric"], "Period": stats[-1]["Period"], "Statistic": stats[-1]["Stat"]}
            properties = {key: value for key, value in properties.items() if key != "Metrics"} | last
        return record(name, properties)

    return described


def for_this_machine(app):
    """Wraps `app`, an ASGI application. Answers calls from web pages and calls by a foreign host name with 403."""

    @functools.wraps(app)
    async def guarded(scope, receive, send):
        refused = scope["type"] in ("http", "websocket") and loopback.refusal(lambda name: header(scope, name))
        if not refused:
            return await app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": f"{refused}\n".encode()})

    return guarded


def header(scope, name):
    """Returns the last value of a header, or None if it is missing."""
    values = [value for given, value in scope["headers"] if given.lower() == name.encode()]
    return values[-1].decode("latin-1") if values else None


if __name__ == "__main__":
    jsonata.Jsonata.jsonata = staticmethod(without_deadline(jsonata.Jsonata.jsonata))
    stepfunctions._read_map_items = again_if_changed(stepfunctions._read_map_items)
    stepfunctions._run_map_items = at_most(stepfunctions._run_map_items)
    meter.replace(provisioners, "_cw_metric_alarm_record", of_one_metric)
    traces.install(ministack)
    if os.environ.get("BCCE_METER"):
        meter.Meter().install(ministack)
    if os.environ.get("BCCE_RECORDER"):
        recorder.Recorder().install(ministack)
    ministack.app = for_this_machine(ministack.app)
    ministack.main()
