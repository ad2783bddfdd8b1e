"""Tests of the benchmarks: that they run, and that their pages say what was measured."""
