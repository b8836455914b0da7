"""hypothesis, which the strategies need, or a message that says how to get it."""

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError(
        'the strategies of acepure.testing need hypothesis: pip install "acepure[test]"; the assertions do without it'
    ) from error

__all__ = ["st"]
