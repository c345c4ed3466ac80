"""Triton's kernels, run by its interpreter and compiled for an H200, which needs no GPU."""

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import pytest
import torch
from torch import Tensor

from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.crosscoder.products import Penalty
from rlgen_k8s.crosscoder.sparse import SparseProducts

if TYPE_CHECKING:
    from rlgen_k8s.crosscoder.sparse_triton import TritonProducts

KERNELS = "rlgen_k8s.crosscoder.sparse_triton"
TOKENS, FEATURES, WIDTH = 7, 10, 540
"""Wider than a kernel's block, and no multiple of anything."""
COMPILE = """
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile
from rlgen_k8s.crosscoder import sparse_triton as kernels

sizes = {"GROUP": kernels.GROUP, "BLOCK": kernels.BLOCK}
index = {name: "*i64" for name in ("bounds", "columns")}
kinds = {name: "constexpr" for name in sizes}
for rows in ("*bf16", "*fp32"):
    add = {"out": "*fp32", **index, "values": "*fp32", "rows": rows, "width": "i32", "down": "i32", "along": "i32"}
    products = {"out": "*fp32", **index, "left": rows, "right": rows, "width": "i32"}
    for kernel, types in ((kernels._add_rows, add), (kernels._row_products, products)):
        made = compile(ASTSource(kernel, {**types, **kinds}, sizes), target=GPUTarget("cuda", 90, 32))
        print(kernel.__name__, rows, len(made.asm["cubin"]))
"""


def forget_triton() -> dict[str, ModuleType]:
    """Have Triton, but for its compiled part, and the kernels imported anew; returns what was there."""
    names = [name for name in sys.modules if name == KERNELS or re.match(r"triton(?!\._C)(\.|$)", name)]
    return {name: sys.modules.pop(name) for name in names}


@pytest.fixture(scope="module")
def triton_products() -> "Iterator[type[TritonProducts]]":
    """Of kernels that the interpreter runs, which Triton has to be told before it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        before = forget_triton()
        yield importlib.import_module(KERNELS).TritonProducts
    forget_triton()
    sys.modules.update(before)


def normal(generator: torch.Generator, dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


class Case(NamedTuple):
    """A batch after its encoder."""

    coder: Crosscoder
    features: Tensor
    x: Tensor
    residual: Tensor
    penalty: Penalty


def case(dtype: torch.dtype, density: float, n_models: int = 2) -> Case:
    generator = torch.Generator().manual_seed(0)
    shapes = {"encoder": (WIDTH, FEATURES), "encoder_bias": (FEATURES,), "decoder": (FEATURES, WIDTH)}
    tensors = {name: normal(generator, dtype, *shape) for name, shape in shapes.items()}
    names = tuple("abc"[:n_models])
    coder = Crosscoder(names, (1.0,) * n_models, **tensors, decoder_bias=torch.zeros(WIDTH, dtype=dtype))
    there = torch.rand(TOKENS, FEATURES, generator=generator) < density
    there[3], there[:, 5] = False, False  # a token with no feature, a feature of no token
    features = normal(generator, dtype, TOKENS, FEATURES).abs() * there
    x, residual = (normal(generator, dtype, TOKENS, WIDTH) for _ in range(2))
    return Case(
        coder,
        features,
        x,
        residual,
        Penalty(normal(generator, dtype, FEATURES, n_models), normal(generator, dtype, FEATURES)),
    )


def by(products: "SparseProducts | TritonProducts", of: Case) -> dict[str, Tensor]:
    """The gradients, and what decoding adds up to."""
    products.read(of.features)
    made = {
        name: torch.full_like(of.coder.parameters[name], torch.nan) for name in ("encoder", "encoder_bias", "decoder")
    }
    products.backward(of.x, of.residual, of.penalty, made, lambda _: None)
    products.decode(of.residual)
    return {**made, "decoded": of.residual}


def dense(of: Case) -> dict[str, Tensor]:
    """The same by plain products of whole matrices."""
    decoder, features, residual = of.coder.decoder, of.features, of.residual
    at = (2 / TOKENS * residual @ decoder.T + of.penalty.features) * (features > 0)
    pulled = (decoder.view(FEATURES, of.coder.n_models, -1) * of.penalty.pull[:, :, None]).flatten(1)
    return {
        "encoder": of.x.T @ at,
        "encoder_bias": at.sum(dim=0),
        "decoder": pulled + 2 / TOKENS * features.T @ residual,
        "decoded": residual + features @ decoder,
    }


@pytest.mark.parametrize("n_models", [2, 3])
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-5)])
def test_kernels_give_what_dense_products_give(
    triton_products: "type[TritonProducts]", dtype: torch.dtype, tolerance: float, density: float, n_models: int
) -> None:
    """Tolerance: a few roundings of the type beside sums of 540 products of about 1."""
    of = case(dtype, density, n_models)
    expected = dense(of)
    for name, got in by(triton_products(of.coder, dtype), of).items():
        torch.testing.assert_close(got, expected[name], rtol=tolerance, atol=10 * tolerance)


def test_kernels_that_read_bf16_rows_add_up_in_fp32(triton_products: "type[TritonProducts]") -> None:
    """They give what the twin gives in fp32 of numbers that bf16 can hold."""
    whole = case(torch.float32, 0.2)
    whole.coder.decoder.copy_(whole.coder.decoder.bfloat16())
    of = whole._replace(x=whole.x.bfloat16().float(), residual=whole.residual.bfloat16().float())
    expected = by(SparseProducts(of.coder), of._replace(residual=of.residual.clone()))
    for name, got in by(triton_products(of.coder, torch.bfloat16), of).items():
        torch.testing.assert_close(got, expected[name], rtol=2e-5, atol=2e-4)


def test_kernels_compile_for_an_h200() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) == 4
