"""What tests of figures share: axes, and global settings that stay as they were."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure


@pytest.fixture(autouse=True)
def settings_stay():
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before, "a figure changed global settings"
    plt.close("all")


@pytest.fixture
def ax():
    return Figure(layout="constrained").subplots()
