"""Floating-point operations: those a method asks for, and those a compiled program repeats."""

from __future__ import annotations

import math
import re
from typing import Any

from jax.extend.core import jaxprs_in_params

from cvrl_jax.plan.hlo import Instruction, Program


def traced_flops(jaxpr: Any) -> int:
    """Of all matrix products and convolutions of a traced function; a multiply-add counts two.

    Products with the zeros of padding and dilation are not counted. Only the larger branch of a
    condition counts, and loops by their length.

    Args:
      jaxpr: a `jax.extend.core.Jaxpr` or `ClosedJaxpr`.
    """
    total = 0
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        name, params = eqn.primitive.name, eqn.params
        if name == "dot_general":
            (contracted, _), _ = params["dimension_numbers"]
            depth = math.prod(eqn.invars[0].aval.shape[axis] for axis in contracted)
            total += 2 * eqn.outvars[0].aval.size * depth
        elif name == "conv_general_dilated":
            total += _convolution_flops(eqn)
        elif name == "cond":
            total += max(traced_flops(branch) for branch in params["branches"])
        elif name == "pallas_call":
            total += _kernel_flops(params)
        else:
            inside = sum(traced_flops(part) for part in jaxprs_in_params(params))
            total += inside * (params["length"] if name == "scan" else 1)
    return total


def unseen_flops(jaxpr: Any) -> int:
    """Of the kernels in a traced function that do not tell the compiler what they cost.

    Args:
      jaxpr: as in `traced_flops`; what is inside a `shard_map` counts for one device.
    """
    total = 0
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        if eqn.primitive.name == "pallas_call":
            total += _kernel_flops(eqn.params) if eqn.params["cost_estimate"] is None else 0
            continue
        inside = sum(unseen_flops(part) for part in jaxprs_in_params(eqn.params))
        total += inside * (eqn.params["length"] if eqn.primitive.name == "scan" else 1)
    return total


def _kernel_flops(params: Any) -> int:
    """Of a Pallas kernel: of its body, which runs once for each point of its grid."""
    return traced_flops(params["jaxpr"]) * math.prod(params["grid_mapping"].grid)


def _convolution_flops(eqn: Any) -> int:
    numbers, params = eqn.params["dimension_numbers"], eqn.params
    (left, right), out = (v.aval.shape for v in eqn.invars), eqn.outvars[0].aval.shape
    total = 2 * out[numbers.out_spec[0]] * out[numbers.out_spec[1]] * right[numbers.rhs_spec[1]]
    axes = zip(numbers.lhs_spec[2:], numbers.rhs_spec[2:], numbers.out_spec[2:], strict=True)
    for place, (of_left, of_right, of_out) in enumerate(axes):
        total *= _meetings(
            left[of_left],
            right[of_right],
            out[of_out],
            params["window_strides"][place],
            params["padding"][place][0],
            params["lhs_dilation"][place],
            params["rhs_dilation"][place],
        )
    return total


def repeated_flops(program: Program) -> int:
    """Of the products and convolutions in loops of a program, in all rounds but their first."""
    total = 0
    for computation, instruction in program.instructions():
        again = program.runs[computation] - program.sites[computation]
        if again and instruction.opcode in ("convolution", "dot"):
            total += again * _flops(instruction, program.operand_shapes(computation, instruction))
    return total


def _flops(instruction: Instruction, operands: list[Any]) -> int:
    if len(operands) < 2:
        return 0
    (_, out), (_, left), (_, right) = instruction.shapes[0], *operands[:2]
    if instruction.opcode == "dot":
        axes = _numbers(instruction, r"lhs_contracting_dims=\{([\d,]*)\}")
        return 2 * math.prod(out) * math.prod(left[axis] for axis in axes)
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", instruction.attributes)
    if labels is None:
        return 0
    kernel_features = right[labels[2].index("i")]
    features = out[labels[3].index("b")] * out[labels[3].index("f")] * kernel_features
    meetings = 1
    # A window lists its axes in the order of their digits.
    for place, label in enumerate(sorted(label for label in labels[3] if label.isdigit())):
        meetings *= _meetings(
            left[labels[1].index(label)],
            right[labels[2].index(label)],
            out[labels[3].index(label)],
            *_window(instruction, place),
        )
    return 2 * features * meetings


def _window(instruction: Instruction, place: int) -> tuple[int, int, int, int]:
    """(stride, zeros before, dilation of the input, of the kernel) along a spatial axis."""

    def field(name: str, usual: str) -> str:
        found = re.search(rf"\b{name}=([\dx_\-]+)", instruction.attributes)
        return found[1].split("x")[place] if found else usual

    before = int(field("pad", "0_0").split("_")[0])
    stride, dilation, spread = (int(field(n, "1")) for n in ("stride", "lhs_dilate", "rhs_dilate"))
    return stride, before, dilation, spread


def _meetings(
    size: int, kernel: int, out: int, stride: int, before: int, dilation: int, spread: int
) -> int:
    """How often, along one axis, a tap of the kernel falls on an entry, and not on a zero."""
    length = (size - 1) * dilation + 1
    count = 0
    for tap in range(kernel):
        for position in range(out):
            place = position * stride + tap * spread - before
            count += 0 <= place < length and place % dilation == 0
    return count


def _numbers(instruction: Instruction, pattern: str) -> list[int]:
    found = re.search(pattern, instruction.attributes)
    return [int(n) for n in found[1].split(",") if n] if found else []
