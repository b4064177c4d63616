"""Registered engine."""
