"""The two-person override: `override` (requested, approved, in force) and `expiry` (its end)."""
