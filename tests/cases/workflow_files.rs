//! Workflow files and clients of the original.
