"""`plot(result)`: the figure that belongs to a type."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any

from acepure.diagnostics import CoefficientDecay, Comparison, Conditioning, SelfInteraction
from acepure.features.basis import ACEBasis
from acepure.fitting import Errors
from acepure.functions.radial import RadialBasis
from acepure.models.linear import LinearACE
from acepure.plotting.basis import plot_radial
from acepure.plotting.conditioning import plot_coefficient_decay, plot_comparison, plot_spectrum
from acepure.plotting.features import plot_self_interaction
from acepure.plotting.potentials import plot_dimers, plot_parity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot"]


@singledispatch
def plot(result: Any, **options: Any) -> Axes:
    """Draw the figure of a result.

    Parameters
    ----------
    result : ACEBasis, RadialBasis, Conditioning, Comparison, SelfInteraction, CoefficientDecay, Errors or LinearACE
        Drawn by `plot_radial`, `plot_radial`, `plot_spectrum`, `plot_comparison`, `plot_self_interaction`,
        `plot_coefficient_decay`, `plot_parity`, `plot_dimers`.
    **options
        Of that function, `ax` among them.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    TypeError
        For anything else.
    """
    known = ", ".join(sorted(kind.__name__ for kind in plot.registry if kind is not object))
    raise TypeError(f"result must be one of {known}; got {result!r} of type {type(result).__name__}")


plot.register(ACEBasis, plot_radial)
plot.register(RadialBasis, plot_radial)
plot.register(CoefficientDecay, plot_coefficient_decay)
plot.register(Comparison, plot_comparison)
plot.register(Errors, plot_parity)
plot.register(LinearACE, plot_dimers)


@plot.register(Conditioning)
def _(result: Conditioning, **options: Any) -> Axes:
    return plot_spectrum({f"{len(result.labels)} features": result}, **options)


@plot.register(SelfInteraction)
def _(result: SelfInteraction, **options: Any) -> Axes:
    shares = {order: share for order, share in result.by_order.items() if order > 1}  # there is none at ν = 1
    return plot_self_interaction({f"{result.n_environments:,} environments": shares}, **options)
