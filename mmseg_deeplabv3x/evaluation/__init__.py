"""Registered evaluation."""
