//! The commands in the documents run as they are written.
