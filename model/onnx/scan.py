"""ONNX's `Scan`, a graph within a graph, put where the exporter left its place."""

from __future__ import annotations

from onnx import ModelProto, NodeProto, helper

from model.net.recurrence import DOMAIN


def fill_scan(model: ModelProto, body: ModelProto, states: int, scope: str) -> ModelProto:
    """Makes the place holder of a graph a `Scan`: https://onnx.ai/onnx/operators/onnx__Scan.html.

    Args:
        model: a graph with one place holder; its inputs are the state, then what is scanned, [B, T, ...].
        body: one step; its inputs and outputs are the state, then the step's own.
        states: how many parts the state has.
        scope: what the body's names are to begin with. Its weights become the outer graph's, where they are looked for.

    Returns:
        The same model, changed.
    """
    (place,) = (node for node in model.graph.node if node.domain == DOMAIN)
    _rename(body, scope)
    model.graph.initializer.extend(body.graph.initializer)
    del body.graph.initializer[:]
    scanned, emitted = len(place.input) - states, len(place.output) - states
    scan = helper.make_node(
        "Scan",
        place.input,
        place.output,
        place.name,
        body=body.graph,
        num_scan_inputs=scanned,
        scan_input_axes=[1] * scanned,
        scan_output_axes=[1] * emitted,
    )
    place.CopyFrom(scan)
    for opset in [opset for opset in model.opset_import if opset.domain == DOMAIN]:
        model.opset_import.remove(opset)
    return model


def _rename(body: ModelProto, scope: str) -> None:
    """Lets all names of a graph begin with a scope: a graph within a graph may not repeat those around it."""
    graph = body.graph
    for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        value.name = scope + value.name
    for node in graph.node:
        _rename_node(node, scope)


def _rename_node(node: NodeProto, scope: str) -> None:
    node.name = scope + node.name
    for names in (node.input, node.output):
        names[:] = [scope + name if name else name for name in names]
