//! Administration: who changed the configuration, and what a change may contain.
