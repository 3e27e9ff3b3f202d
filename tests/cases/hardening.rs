//! Bounds against hostile callers.
