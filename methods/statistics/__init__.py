"""Tests and elementary functions that several methods share."""
