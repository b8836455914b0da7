"""The evaluator, compiled for the avx2 instruction set."""
include "evaluator.pxi"
