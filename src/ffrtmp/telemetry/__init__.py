"""Logs and metric definitions."""
