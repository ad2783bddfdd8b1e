"""Tests of leases and collections."""
