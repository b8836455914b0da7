"""Tools that know no stage: checks of arguments, memory, files, threads, tables of pairs, workers, large matrices."""
