"""The two-person override: requested, approved, in force for some days, expired or withdrawn."""
