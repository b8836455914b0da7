"""Messages between atoms over pairwise distinct neighbors, stacked in layers and trained by PyTorch, an extra.

message.py       what a center makes of its neighbors: the formulas, exact
"""
