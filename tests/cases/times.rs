//! Times, zones, and the audit export.
