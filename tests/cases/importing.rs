//! Incident logs of other systems.
