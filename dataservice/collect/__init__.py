"""Leases of readers, and a store's folder → what may go, and its removal."""
