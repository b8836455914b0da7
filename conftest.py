"""Examples in docstrings that need an optional package are not collected where it is missing."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("zarr") else ["acepure/features/store/reader.py"]  # Python 3.10 has no Zarr 3
