"""What the compiled iterations are made of: how they are compiled, elementary functions, sums.

A loop uses vectors only if it writes few arrays: otherwise the compiler does not check whether they
overlap.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cdnbench.compilation import kept_njit

LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)

# Sums may be reordered, so that they use vectors; infinities and NaN keep their meaning.
compiled = kept_njit(error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
exact = kept_njit(error_model="numpy", fastmath={"contract"}, forceinline=True)


@intrinsic
def _two_to(typing, n):
    """2^n for a whole number n by its bits: in [-1022, 1023], or in [-126, 127] in single
    precision."""
    kind, bits, mantissa, bias = types.float64, 64, 52, 1023
    if n == types.float32:
        kind, bits, mantissa, bias = n, 32, 23, 127

    def generate(context, builder, signature, arguments):
        real, integer = context.get_value_type(kind), ir.IntType(bits)
        biased = builder.fadd(
            arguments[0], ir.Constant(real, 2.0**mantissa + bias)
        )  # the low bits are n + bias
        shifted = builder.shl(builder.bitcast(biased, integer), ir.Constant(integer, mantissa))
        return builder.bitcast(shifted, real)

    return kind(kind), generate


@exact
def exp(x):
    """e^x for x <= 709, to rounding and without branches or calls, so that loops over it use
    vectors."""
    x = max(x, -708.0)
    n = math.floor(x * 1.4426950408889634 + 0.5)
    r = x - n * 6.93145751953125e-1  # log 2 in two parts, of which n times the first is exact
    r = r - n * 1.42860682030941723212e-6
    p = 1.0 / 6227020800
    for factorial in (479001600, 39916800, 3628800, 362880, 40320, 5040, 720, 120, 24, 6, 2, 1, 1):
        p = p * r + 1.0 / factorial
    return p * _two_to(n)  # type: ignore[call-arg]


@exact
def exp32(x):
    """`exp` in single precision, for x <= 88, with a relative error below 3e-7."""
    x = max(x, np.float32(-87))
    n = np.rint(x * np.float32(1.44269504))
    r = x - n * np.float32(0.693359375)
    r = r + n * np.float32(2.12194440e-4)
    p = np.float32(1 / 720)
    for factorial in (120, 24, 6, 2, 1, 1):
        p = p * r + np.float32(1 / factorial)
    return p * _two_to(n)  # type: ignore[call-arg]


@exact
def log1p(y):
    """log(1 + y) for y in [0, 1], to rounding: 2 artanh(y / (2 + y)) by its series."""
    t = y / (2.0 + y)
    q = t * t
    s = 1.0 / 31
    for k in (29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1):
        s = s * q + 1.0 / k
    return 2.0 * t * s


@compiled
def inner(x, y):
    total = 0.0
    for k in range(len(x)):
        total += x[k] * y[k]
    return total


@compiled
def add(x, out):
    for k in range(len(x)):
        out[k] += x[k]


@compiled
def add_product(x, y, out):
    for k in range(len(out)):
        out[k] += x[k] * y[k]


@compiled
def add_products(x, y, z, out):
    for k in range(len(out)):
        out[k] += x[k] * y[k] * z[k]
