"""The evaluator, compiled for the avx512 instruction set."""
include "evaluator.pxi"
