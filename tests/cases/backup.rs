//! Backup, restore, published heads, the key store, permissions of files, and what `doctor` finds.
