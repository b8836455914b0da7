"""Named errors and warnings.

All errors are also `ValueError` or `TypeError`, so that callers who know nothing of this package can
catch them.
"""

__all__ = [
    "BasisTooLargeError",
    "CalibrationWarning",
    "CoincidentAtomsError",
    "CoverageWarning",
    "ExtrapolationWarning",
    "LargeBasisWarning",
    "ModelFileError",
    "SpeciesError",
]


class BasisTooLargeError(ValueError):
    """The requested basis would not fit in memory; the message carries the exact size and the estimate."""


class CalibrationWarning(UserWarning):
    """There are too few labels to calibrate standard deviations; the message says how many, and of what."""


class CoincidentAtomsError(ValueError):
    """Two atoms, or an atom and its periodic image, sit at the same place; the message names them."""


class CoverageWarning(UserWarning):
    """The structures of a fit leave something open that predictions may need; the message says what.

    ``warnings.simplefilter("error", CoverageWarning)`` raises it, and every `ExtrapolationWarning`, instead.
    """


class ExtrapolationWarning(CoverageWarning):
    """A structure leaves the range of what a potential was made for; the message names what and where."""


class LargeBasisWarning(UserWarning):
    """A basis has more functions than was asked for, or than memory allows to fit well; the message says what to do."""


class ModelFileError(ValueError):
    """A file is no model, is damaged, or was written by a newer version; the message says which."""


class SpeciesError(ValueError):
    """A structure holds a species that the basis does not know."""
