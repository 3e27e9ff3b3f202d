//! Erasing a person.
