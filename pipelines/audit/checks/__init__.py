"""Verification, branch by branch: each function computes again from the bytes and returns facts."""
