"""Load an app as the Python worker does: one app object, distinct names, parameters that match their bindings."""

import importlib.util
import inspect
import json
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import azure.functions as func

from infra.local.host.errors import AppError
from infra.local.host.protocol import FunctionInfo


@dataclass(frozen=True, slots=True)
class Loaded:
    """One function ready to be called; `types` maps each bound parameter to its binding's type."""

    info: FunctionInfo
    call: Callable[..., Any]
    is_async: bool
    trigger: str
    types: Mapping[str, str]
    outputs: Mapping[str, str]
    wants_context: bool


def load(directory: Path) -> dict[str, Loaded]:
    """Every function of the app by name.

    Raises AppError for what the worker refuses; whatever the app itself raises at import passes through.
    """
    # Last, as on the platform: a dependency's top-level `shared` or `tests` must shadow ours here too.
    sys.path.append(str(directory))
    return {loaded.info.name: loaded for loaded in map(_loaded, _functions(_app(directory)))}


def converter(binding_type: str) -> Any:
    """The SDK's own converter for a binding, the same one the worker uses.

    Raises AppError when the SDK has none.
    """
    registry: Any = func.get_binding_registry()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped
    found = registry.get(binding_type)
    if found is None:
        raise AppError(f"binding type {binding_type!r} is not known to azure-functions; check the decorator")
    return found


def _app(directory: Path) -> func.FunctionRegister:
    file = directory / "function_app.py"
    if not file.exists():
        raise AppError(f"{directory} holds no function_app.py; point the host at the app's root")
    # By its file, not by its name: another app's file of that name may stand earlier on sys.path.
    spec = importlib.util.spec_from_file_location("function_app", file)
    assert spec is not None and spec.loader is not None, "a file that exists has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules["function_app"] = module
    spec.loader.exec_module(module)
    names = [name for name in dir(module) if isinstance(getattr(module, name), func.FunctionRegister)]
    if len(names) != 1:
        raise AppError(
            f"function_app.py has {len(names)} top-level app objects ({', '.join(names) or 'none'}); "
            "the worker takes exactly one, an alias counts as a second"
        )
    app: func.FunctionRegister = getattr(module, names[0])
    return app


def _functions(app: func.FunctionRegister) -> list[Any]:
    try:
        return list(app.get_functions())
    except ValueError as error:
        raise AppError(f"function_app.py: {error}; every function needs a name of its own") from error


def _loaded(function: Any) -> Loaded:
    name, call = function.get_function_name(), function.get_user_function()
    hints = _hints(name, call)
    types = {binding.name: binding.type for binding in function.get_bindings()}
    outputs = {binding.name: binding.type for binding in function.get_bindings() if binding.direction == 1}
    parameters = _parameters(name, call)
    wants_context = "context" in parameters and "context" not in types
    if wants_context:
        _check_context(name, hints.get("context"))
    _check_names(name, parameters - ({"context"} if wants_context else set()), set(types) - {"$return"})
    for parameter in parameters & set(types):
        _check_type(name, parameter, types[parameter], parameter in outputs, hints.get(parameter))
    _check_return(name, types.get("$return"), hints)
    raw = json.loads(function.get_function_json())["bindings"]
    return Loaded(
        info=FunctionInfo(name, tuple(raw)),
        call=call,
        is_async=inspect.iscoroutinefunction(call),
        trigger=function.get_trigger().name,
        types=types,
        outputs=outputs,
        wants_context=wants_context,
    )


def _hints(name: str, call: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(call)
    except NameError as error:
        raise AppError(
            f"{name}: {error}; annotations are evaluated at load, import their names plainly"
        ) from error
    except TypeError as error:
        raise AppError(f"{name}: {error}; decorate a plain function, not a partial or an object") from error


def _parameters(name: str, call: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(call).parameters)
    except (TypeError, ValueError) as error:
        raise AppError(
            f"{name}: its parameters cannot be read ({error}); decorate a plain function"
        ) from error


def _check_context(name: str, hint: Any) -> None:
    if hint is not None and getattr(hint, "__name__", "") != "Context":
        raise AppError(f"{name}: parameter context is annotated {hint!r}; it must be azure.functions.Context")


def _check_names(name: str, parameters: set[str], bound: set[str]) -> None:
    if parameters - bound:
        raise AppError(
            f"{name}: parameter {', '.join(sorted(parameters - bound))} has no binding; "
            "remove it, a default value does not help"
        )
    if bound - parameters:
        raise AppError(f"{name}: binding {', '.join(sorted(bound - parameters))} has no parameter; add it")


def _check_type(name: str, parameter: str, binding_type: str, is_output: bool, hint: Any) -> None:
    if hint is None:
        return
    origin = typing.get_origin(hint)
    is_out = getattr(origin or hint, "__name__", "") == "Out"
    if is_out != is_output:
        wanted = "azure.functions.Out[...]" if is_output else "the trigger's type"
        raise AppError(f"{name}: parameter {parameter} is annotated {hint!r}; annotate it {wanted}")
    inner = typing.get_args(hint)[0] if is_out else hint
    if not isinstance(inner, type) and typing.get_origin(inner) is None:
        raise AppError(f"{name}: parameter {parameter} is annotated {hint!r}, which is no type")
    if not is_out and inner in (str, bytes):
        return
    check = "check_output_type_annotation" if is_out else "check_input_type_annotation"
    if not _accepts(getattr(converter(binding_type), check), inner):
        raise AppError(
            f"{name}: parameter {parameter} is annotated {hint!r}, which {binding_type} does not take"
        )


def _check_return(name: str, binding_type: str | None, hints: Mapping[str, Any]) -> None:
    if binding_type is None or "return" not in hints:
        return
    hint = hints["return"]
    if not isinstance(hint, type):
        raise AppError(f"{name}: it returns {hint!r}; annotate one class, a union is refused")
    if not _accepts(converter(binding_type).check_output_type_annotation, hint):
        raise AppError(f"{name}: it returns {hint.__name__}, which {binding_type} does not take")


def _accepts(check: Callable[[Any], bool], hint: Any) -> bool:
    try:
        return bool(check(hint))
    except TypeError:
        # The SDK calls issubclass on whatever it is given; a generic like list[str] is no class.
        return False
