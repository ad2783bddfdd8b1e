"""Tests of the filters, family by family."""
