"""The evaluator, compiled for the baseline instruction set."""
include "evaluator.pxi"
