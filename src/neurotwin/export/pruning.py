"""Pruning of an exported graph: what the exporter passes through a Scan though nothing depends on it.

onnxruntime cuts every input of a Scan into rows and stacks every output, whether they are used or not, and removes
neither: for one patient each costs as much as a third of an operator per row.
"""

from typing import Any

import onnx


def prune(model: onnx.ModelProto) -> None:
    """Remove inputs of Scans that their bodies do not use, or that they are given twice, outputs that nothing uses, and
    operators and weights that nothing depends on. Inputs and outputs of the graph itself stay. In place."""
    size = -1
    while size != (size := model.ByteSize()):  # what one pass removes may have been all that used something else
        _prune(model.graph)


def _prune(graph: Any) -> None:
    for scan in [node for node in graph.node if node.op_type == "Scan"]:
        _prune_scan(scan, _used(graph))
    _remove_dead(graph)


def _prune_scan(scan: Any, used: set[str]) -> None:
    told = {attribute.name: attribute for attribute in scan.attribute}
    body, inputs = told["body"].g, told["num_scan_inputs"]
    carries = len(scan.input) - inputs.i
    stays = [name in used for name in list(scan.output)[carries:]]
    for field in (scan.output, body.output):
        _keep(field, stays, carries)
    _keep_plans(told, "scan_output", stays)
    _remove_dead(body)
    first: dict[str, str] = {}
    twins = {}
    for name, inside in zip(list(scan.input)[carries:], [item.name for item in body.input][carries:], strict=True):
        twins[inside] = first.setdefault(name, inside)
    for node in body.node:
        node.input[:] = [twins.get(name, name) for name in node.input]
    asked = _used(body)
    stays = [item.name in asked for item in list(body.input)[carries:]]
    stays[0] |= not any(stays)  # the number of rows has to come from somewhere
    for field in (scan.input, body.input):
        _keep(field, stays, carries)
    _keep_plans(told, "scan_input", stays)
    inputs.i = sum(stays)


def _keep(field: Any, stays: list[bool], first: int) -> None:
    """Keep the first items of a repeated field, and of the others those that stay."""
    kept = [*list(field)[:first], *(item for item, stay in zip(list(field)[first:], stays, strict=True) if stay)]
    del field[:]
    field.extend(kept)


def _keep_plans(told: dict[str, Any], name: str, stays: list[bool]) -> None:
    for plan in (told[key] for key in (f"{name}_directions", f"{name}_axes") if key in told):
        _keep(plan.ints, stays, 0)


def _remove_dead(graph: Any) -> None:
    """Remove operators and weights that no output depends on."""
    used, alive = {item.name for item in graph.output}, []
    for node in reversed(graph.node):  # operators stand in an order in which they can be computed
        if not used.isdisjoint(node.output):
            alive.append(node)
            used |= used_in(node)
    kept = [item for item in graph.initializer if item.name in used]
    for field, items in ((graph.node, alive[::-1]), (graph.initializer, kept)):
        del field[:]
        field.extend(items)


def _used(graph: Any) -> set[str]:
    """Names that a graph's operators or outputs read, those in graphs inside it included."""
    return {item.name for item in graph.output}.union(*(used_in(node) for node in graph.node))


def used_in(node: Any) -> set[str]:
    """Names that an operator reads, those in graphs inside it included."""
    return set(node.input).union(*(_used(one.g) for one in node.attribute if one.HasField("g")))
