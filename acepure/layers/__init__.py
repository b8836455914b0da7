"""Messages between atoms over pairwise distinct neighbors, stacked in layers and trained by PyTorch, an extra.

message.py       what a center makes of its neighbors: the formulas, exact
geometry.py      radial functions and harmonics of pairs, with derivatives, from the compiled kernels
network.py       one or two layers: messages, update, read-out
examples.py      structures and labels as training sees them
training.py      Adam from a normalized start, learning rate by structures left out, the read-out solved exactly
fit.py           all steps of a fit
model.py         LayeredACE: the network on top of a linear potential
"""
