"""Decides what to do: the changes, which deletions the deletion guard allows, and how both are reported. Pure."""
