"""A twin in C that computes something else."""

from __future__ import annotations

from backprop.compiled import Twin
from tests.cases import Scale
from tests.gradients.faults.base import fault


class TwinOfScale(Twin):
    """Both passes of `Scale` in C, the gradient by g but of the first example alone."""

    header = """
INLINED void scaled(int n, int B, const real *g, const real *x, real *y)
{
    for (int i = 0; i < n * B; i++)
        y[i] = g[i / B] * x[i];
}

INLINED void scaled_gradient(int n, int B, const real *delta, const real *a_prev, real *nabla_g)
{
    for (int i = 0; i < n; i++)
        nabla_g[i] = delta[i * B] * a_prev[i * B];
}
"""

    def output(self, w, layer, a_prev):
        a_prev = w.columns(a_prev)
        w.keep(layer, a_prev=a_prev)
        a = w.like("a", a_prev, layer)
        w.call("scaled", layer.n, w.batch, w.parameter(layer, "g"), a_prev, a)
        return a

    def parameter_gradients(self, w, layer, delta):
        a_prev, g = w.of(layer, "a_prev"), w.gradient(layer, "g")
        w.call("scaled_gradient", layer.n, w.batch, delta, a_prev, g)

    def downstream(self, w, layer, delta):
        below = w.like("nabla_a_below", delta, layer)
        w.call("scaled", layer.n, w.batch, w.parameter(layer, "g"), delta, below)
        return below


class TwinThatForgets(Scale):
    twin = TwinOfScale()


fault(TwinThatForgets(4), "twin")
