"""Adapter bundles on disk. Importing this, `verify_bundle` and `bundle_digest` need no torch."""

from elp_core.bundle.format import FILES, MANIFEST, BundleManifest
from elp_core.bundle.read import bundle_digest, deployed_threshold, load_bundle, open_bundle, verify_bundle
from elp_core.bundle.write import write_bundle

__all__ = [
    "FILES",
    "MANIFEST",
    "BundleManifest",
    "bundle_digest",
    "deployed_threshold",
    "load_bundle",
    "open_bundle",
    "verify_bundle",
    "write_bundle",
]
