"""What the compiled iterations are made of: how they are compiled, elementary functions, sums.

A loop uses vectors only if it writes few arrays: otherwise the compiler does not check whether they overlap.
"""

from __future__ import annotations

import math

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)

# Sums may be reordered, so that they use vectors; infinities and NaN keep their meaning.
compiled = njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})
exact = njit(cache=True, error_model="numpy", fastmath={"contract"}, forceinline=True)


@intrinsic
def _two_to(typing, n):
    """2^n for a whole number n in [-1022, 1023], by its bits."""

    def generate(context, builder, signature, arguments):
        double, integer = ir.DoubleType(), ir.IntType(64)
        biased = builder.fadd(arguments[0], ir.Constant(double, 2.0**52 + 1023))  # the low bits are n + 1023
        shifted = builder.shl(builder.bitcast(biased, integer), ir.Constant(integer, 52))
        return builder.bitcast(shifted, double)

    return types.float64(types.float64), generate


@exact
def exp(x):
    """e^x for x <= 0, to rounding and without branches or calls, so that loops over it use vectors."""
    x = max(x, -708.0)
    n = math.floor(x * 1.4426950408889634 + 0.5)
    r = x - n * 6.93145751953125e-1  # log 2 in two parts, of which n times the first is exact
    r = r - n * 1.42860682030941723212e-6
    p = 1.0 / 6227020800
    for factorial in (479001600, 39916800, 3628800, 362880, 40320, 5040, 720, 120, 24, 6, 2, 1, 1):
        p = p * r + 1.0 / factorial
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
